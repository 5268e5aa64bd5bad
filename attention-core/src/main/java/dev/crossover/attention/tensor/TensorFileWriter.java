// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.IntToDoubleFunction;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/// Collects tensors and metadata and writes them as a `.safetensors`, `.npz` or `.npy` file.
///
/// The same additions in the same order give the same bytes. A file appears whole or not at all: it
/// is written under another name in the same folder and then moved into place, replacing what was
/// there. Arrays are not copied when added; they must not change before the file is written.
///
/// Values are rounded to nearest, ties to even, by the floating types; the integral types refuse
/// what they cannot hold.
public final class TensorFileWriter {
  private static final LocalDateTime FIXED_TIME = LocalDateTime.of(1980, 1, 1, 0, 0);

  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final Map<String, Content> tensors = new LinkedHashMap<>();

  /// A tensor to be written; `values` gives an element by its row-major position.
  private record Content(StoredTensor tensor, IntToDoubleFunction values) {}

  /// A writer that holds nothing yet.
  public TensorFileWriter() {}

  /// Adds an entry of metadata, which only `.safetensors` can hold.
  ///
  /// @param key not used before
  /// @param value any text
  /// @return this writer
  public TensorFileWriter metadata(String key, String value) {
    requireText("key", key);
    requireText("value", value);
    if (metadata.putIfAbsent(key, value) != null) {
      throw new IllegalArgumentException("key must be new, but was " + key);
    }
    return this;
  }

  /// Adds a tensor as F32.
  ///
  /// @param name not used before
  /// @param tensor the elements
  /// @return this writer
  public TensorFileWriter add(String name, Tensor tensor) {
    return add(name, DType.F32, tensor);
  }

  /// Adds a tensor.
  ///
  /// @param name not used before
  /// @param dtype the type to write
  /// @param tensor the elements
  /// @return this writer
  /// @throws IllegalArgumentException if an integral type cannot hold an element
  public TensorFileWriter add(String name, DType dtype, Tensor tensor) {
    float[] data = tensor.data();
    return add(name, dtype, i -> data[i], data.length, tensor.shape());
  }

  /// Adds a tensor given as doubles.
  ///
  /// @param name not used before
  /// @param dtype the type to write
  /// @param data the elements, row-major; exactly as many as the shape holds
  /// @param shape sizes of the dimensions
  /// @return this writer
  /// @throws IllegalArgumentException if the sizes disagree or an integral type cannot hold an
  ///     element
  public TensorFileWriter add(String name, DType dtype, double[] data, int... shape) {
    return add(name, dtype, i -> data[i], data.length, shape);
  }

  /// Adds a tensor given as integers.
  ///
  /// @param name not used before
  /// @param dtype the type to write
  /// @param data the elements, row-major; exactly as many as the shape holds
  /// @param shape sizes of the dimensions
  /// @return this writer
  /// @throws IllegalArgumentException if the sizes disagree or an integral type cannot hold an
  ///     element
  public TensorFileWriter add(String name, DType dtype, int[] data, int... shape) {
    return add(name, dtype, i -> data[i], data.length, shape);
  }

  private TensorFileWriter add(
      String name, DType dtype, IntToDoubleFunction values, int length, int... shape) {
    requireText("name", name);
    if (name.equals(SafeTensorsHeader.METADATA) || tensors.containsKey(name)) {
      throw new IllegalArgumentException("name must be new, but was " + name);
    }
    if (shape.length > StoredTensor.HIGHEST_RANK) {
      throw new IllegalArgumentException(
          "shape must have at most 64 dimensions, but was " + shape.length);
    }
    int count = Tensor.sizeOf(shape);
    if (length != count) {
      throw new IllegalArgumentException(
          "data length must equal the size of the shape (" + count + "), but was " + length);
    }
    for (int i = 0; i < length; i++) {
      if (!dtype.canHold(values.applyAsDouble(i))) {
        throw new IllegalArgumentException(
            name + " must hold values of type " + dtype + ", but was " + values.applyAsDouble(i));
      }
    }
    long[] extents = new long[shape.length];
    for (int i = 0; i < shape.length; i++) {
      extents[i] = shape[i];
    }
    StoredTensor tensor =
        new StoredTensor(name, dtype, ByteOrder.LITTLE_ENDIAN, false, extents, count, 0);
    tensors.put(name, new Content(tensor, values));
    return this;
  }

  /// Writes everything as `.safetensors`: metadata and tensors in the order of their addition, the
  /// header padded with spaces so that the data begin at a multiple of 8.
  ///
  /// @param path where to; an existing file is replaced
  /// @throws IOException if the file system fails
  public void writeSafeTensors(Path path) throws IOException {
    byte[] header = SafeTensorsHeader.format(metadata, tensorsOnly());
    AtomicFile.write(
        path,
        out -> {
          out.write(header);
          for (Content content : tensors.values()) {
            ElementWriter.write(out, content.tensor, content.values);
          }
        });
  }

  /// Writes every tensor as an entry of a deflated `.npz`.
  ///
  /// @param path where to; an existing file is replaced
  /// @throws IllegalArgumentException if there is metadata or a BF16 tensor, which NumPy lacks
  /// @throws IOException if the file system fails
  public void writeNpz(Path path) throws IOException {
    requireNumpy();
    AtomicFile.write(
        path,
        out -> {
          ZipOutputStream zip = new ZipOutputStream(out);
          for (Content content : tensors.values()) {
            ZipEntry entry = new ZipEntry(content.tensor.name + ".npy");
            entry.setTimeLocal(FIXED_TIME);
            zip.putNextEntry(entry);
            writeArray(zip, content, NpyFormat.DEFAULT);
            zip.closeEntry();
          }
          zip.finish();
        });
  }

  /// Writes the only tensor as `.npy`; its name is lost.
  ///
  /// @param path where to; an existing file is replaced
  /// @param format how
  /// @throws IllegalArgumentException if there is metadata or not exactly one tensor, or it is
  ///     BF16, which NumPy lacks
  /// @throws IOException if the file system fails
  public void writeNpy(Path path, NpyFormat format) throws IOException {
    requireNumpy();
    if (tensors.size() != 1) {
      throw new IllegalArgumentException(
          "an npy file must hold one tensor, but was " + tensors.size());
    }
    Content content = tensors.values().iterator().next();
    AtomicFile.write(path, out -> writeArray(out, content, format));
  }

  private static void writeArray(OutputStream out, Content content, NpyFormat format)
      throws IOException {
    StoredTensor tensor = content.tensor;
    StoredTensor formatted =
        new StoredTensor(
            tensor.name,
            tensor.dtype,
            format.byteOrder(),
            format.fortranOrder(),
            tensor.shape,
            tensor.count,
            0);
    out.write(NpyHeader.format(formatted, format.version()));
    ElementWriter.write(out, formatted, content.values);
  }

  private Iterable<StoredTensor> tensorsOnly() {
    return tensors.values().stream().map(Content::tensor).toList();
  }

  private void requireNumpy() {
    if (!metadata.isEmpty()) {
      throw new IllegalArgumentException(
          "metadata must be empty in NumPy's formats, but was " + metadata.keySet());
    }
    for (Content content : tensors.values()) {
      if (content.tensor.dtype == DType.BF16) {
        throw new IllegalArgumentException(
            content.tensor.name + " must be of a type NumPy knows, but was BF16");
      }
    }
  }

  private static void requireText(String what, String text) {
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      throw new IllegalArgumentException(
          what + " must be expressible in UTF-8, but holds half a surrogate pair");
    }
  }
}
