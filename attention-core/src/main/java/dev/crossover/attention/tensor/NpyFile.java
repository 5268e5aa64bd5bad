// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/// A NumPy `.npy` file, read lazily: one array, which goes by the name [#NAME].
///
/// Versions 1.0, 2.0 and 3.0 of the format (NumPy's `numpy/lib/format.py`), C and Fortran order,
/// both byte orders; element types `f2 f4 f8 i4 i8 u1 b1`. Reading always gives row-major elements.
/// Structured types, objects and bytes after the array are refused.
public final class NpyFile extends TensorFile {
  /// The name under which the file's only array is found; the format itself has none.
  public static final String NAME = "array";

  private final long fileBytes;

  private NpyFile(Path path, StoredTensor tensor, long fileBytes) {
    super(path, Map.of(), Map.of(NAME, tensor), Map.of());
    this.fileBytes = fileBytes;
  }

  /// Reads and checks a file's header.
  ///
  /// @param path the file
  /// @return its array, not yet read
  /// @throws TensorFileException if the file is absent or unreadable or breaks any rule
  public static NpyFile open(Path path) throws TensorFileException {
    requireRegular(path);
    try {
      long fileBytes = Files.size(path);
      try (InputStream in = streamAt(path, fileBytes, 0)) {
        StoredTensor tensor = NpyHeader.read(path, NAME, in);
        NpyHeader.requireLength(path, tensor, fileBytes);
        return new NpyFile(path, tensor, fileBytes);
      }
    } catch (TensorFileException e) {
      throw e;
    } catch (NpyHeader.UnreadTypeException e) {
      throw e.asFault(path);
    } catch (IOException e) {
      throw unreadable(path, e);
    }
  }

  @Override
  InputStream elements(StoredTensor tensor) throws IOException {
    return streamAt(path(), fileBytes, tensor.begin);
  }
}
