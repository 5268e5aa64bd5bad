// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;

/// Opens tensor files of any known format.
public final class TensorFiles {
  private TensorFiles() {}

  /// Opens a `.safetensors`, `.npy` or `.npz` file. The extension decides, whatever its case; a
  /// file with another one is recognised by how it begins.
  ///
  /// @param path the file
  /// @return its tensors, not yet read
  /// @throws TensorFileException if the file is absent or unreadable, looks like none of the
  ///     formats, or breaks its format's rules
  public static TensorFile open(Path path) throws TensorFileException {
    Path file = path.getFileName();
    String name = file == null ? "" : file.toString().toLowerCase(Locale.ROOT);
    if (name.endsWith(".safetensors")) {
      return SafeTensors.open(path);
    }
    if (name.endsWith(".npy")) {
      return NpyFile.open(path);
    }
    if (name.endsWith(".npz")) {
      return NpzFile.open(path);
    }
    byte[] start = start(path);
    if (start.length > 5 && Arrays.equals(start, 0, 6, NpyHeader.MAGIC, 0, 6)) {
      return NpyFile.open(path);
    }
    if (start.length > 3 && start[0] == 'P' && start[1] == 'K' && start[2] < 8) {
      return NpzFile.open(path);
    }
    if (start.length > 8 && start[8] == '{') {
      return SafeTensors.open(path);
    }
    throw new TensorFileException(
        path, "must be a safetensors, npy or npz file, but begins like none of them");
  }

  private static byte[] start(Path path) throws TensorFileException {
    TensorFile.requireRegular(path);
    try (InputStream in = Files.newInputStream(path)) {
      return in.readNBytes(9);
    } catch (IOException e) {
      throw TensorFile.unreadable(path, e);
    }
  }
}
