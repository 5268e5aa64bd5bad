// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.function.IntToDoubleFunction;

/// Encodes elements in the order and type a tensor's description asks for.
final class ElementWriter {
  private static final int BUFFER_BYTES = 1 << 16;

  private ElementWriter() {}

  /// @param values elements by row-major position
  static void write(OutputStream out, StoredTensor tensor, IntToDoubleFunction values)
      throws IOException {
    ByteBuffer buffer =
        ByteBuffer.allocate((int) Math.min(BUFFER_BYTES, tensor.bytes())).order(tensor.byteOrder);
    ElementOrder order = new ElementOrder(tensor.shape, tensor.fortranOrder);
    for (long i = 0; i < tensor.count; i++) {
      tensor.dtype.put(buffer, values.applyAsDouble(order.next()));
      if (!buffer.hasRemaining()) {
        out.write(buffer.array(), 0, buffer.position());
        buffer.clear();
      }
    }
    out.write(buffer.array(), 0, buffer.position());
  }
}
