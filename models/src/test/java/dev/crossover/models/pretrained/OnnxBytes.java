// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/// Writes ONNX files for tests.
final class OnnxBytes {
  private final ByteArrayOutputStream graph = new ByteArrayOutputStream();

  /// A field of bytes.
  static byte[] field(int number, byte[] value) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    varint(out, (long) number << 3 | WireReader.BYTES);
    varint(out, value.length);
    out.writeBytes(value);
    return out.toByteArray();
  }

  static byte[] field(int number, String value) {
    return field(number, value.getBytes(StandardCharsets.UTF_8));
  }

  static byte[] number(int number, long value) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    varint(out, (long) number << 3);
    varint(out, value);
    return out.toByteArray();
  }

  private static void varint(ByteArrayOutputStream out, long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      out.write((int) (rest & 0x7f | 0x80));
      rest >>>= 7;
    }
    out.write((int) rest);
  }

  static byte[] joined(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }

  static byte[] raw(Tensor tensor) {
    ByteBuffer bytes = ByteBuffer.allocate(tensor.size() * Float.BYTES);
    bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(tensor.data());
    return bytes.array();
  }

  /// An initialiser in raw_data.
  ///
  /// @param packed whether its dimensions are one field
  OnnxBytes tensor(String name, Tensor tensor, boolean packed) {
    ByteArrayOutputStream dims = new ByteArrayOutputStream();
    ByteArrayOutputStream packedDims = new ByteArrayOutputStream();
    for (int size : tensor.shape()) {
      dims.writeBytes(number(1, size));
      varint(packedDims, size);
    }
    return initialiser(
        packed ? field(1, packedDims.toByteArray()) : dims.toByteArray(),
        number(2, 1),
        field(8, name),
        field(9, raw(tensor)));
  }

  OnnxBytes initialiser(byte[]... fields) {
    graph.writeBytes(field(5, joined(fields)));
    return this;
  }

  OnnxBytes node(String operation, String output, String... inputs) {
    ByteArrayOutputStream node = new ByteArrayOutputStream();
    for (String input : inputs) {
      node.writeBytes(field(1, input));
    }
    node.writeBytes(field(2, output));
    node.writeBytes(field(3, "a name"));
    node.writeBytes(field(4, operation));
    graph.writeBytes(field(1, node.toByteArray()));
    return this;
  }

  /// A matrix without a name of its own and the bias that is added to its product.
  OnnxBytes map(String matrix, Tensor inOut, String bias, boolean biasFirst) {
    tensor(matrix, inOut, false);
    node("MatMul", matrix + "_product", "x", matrix);
    return biasFirst
        ? node("Add", matrix + "_sum", bias, matrix + "_product")
        : node("Add", matrix + "_sum", matrix + "_product", bias);
  }

  /// The whole file, with fields before and after the graph that a reader skips.
  byte[] toByteArray() {
    return joined(number(1, 7), field(2, "producer"), field(7, graph.toByteArray()), number(5, 1));
  }
}
