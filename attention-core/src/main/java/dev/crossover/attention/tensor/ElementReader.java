// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;

/// Decodes a stream of elements, a buffer at a time, into arrays of the caller's.
final class ElementReader {
  private static final int BUFFER_BYTES = 1 << 16;

  private final InputStream in;
  private final StoredTensor tensor;
  private final ByteBuffer buffer;
  private final ElementOrder order;

  ElementReader(InputStream in, StoredTensor tensor) {
    this.in = in;
    this.tensor = tensor;
    buffer =
        ByteBuffer.allocate((int) Math.min(BUFFER_BYTES, tensor.bytes())).order(tensor.byteOrder);
    order = new ElementOrder(tensor.shape, tensor.fortranOrder);
  }

  void floats(float[] target) throws IOException {
    for (int done = 0; done < target.length; ) {
      int n = fill(target.length - done);
      if (tensor.dtype == DType.F32 && !tensor.fortranOrder) {
        buffer.asFloatBuffer().get(target, done, n);
      } else {
        for (int i = 0; i < n; i++) {
          target[order.next()] = (float) element(i);
        }
      }
      done += n;
    }
  }

  void doubles(double[] target) throws IOException {
    for (int done = 0; done < target.length; ) {
      int n = fill(target.length - done);
      for (int i = 0; i < n; i++) {
        target[order.next()] = element(i);
      }
      done += n;
    }
  }

  void ints(int[] target) throws IOException {
    for (int done = 0; done < target.length; ) {
      int n = fill(target.length - done);
      for (int i = 0; i < n; i++) {
        // A long beyond 2^53 is rounded here, but never into the range of an int.
        double value = element(i);
        if (value != (int) value) {
          throw new BadElementException("a value beyond 32 bits");
        }
        target[order.next()] = (int) value;
      }
      done += n;
    }
  }

  /// Fills the buffer with as many whole elements as fit and are left.
  private int fill(int left) throws IOException {
    int n = Math.min(left, buffer.capacity() / tensor.dtype.bytes());
    int bytes = n * tensor.dtype.bytes();
    if (in.readNBytes(buffer.array(), 0, bytes) < bytes) {
      throw new EOFException();
    }
    return n;
  }

  private double element(int index) throws BadElementException {
    double value = tensor.dtype.doubleAt(buffer, index * tensor.dtype.bytes());
    if (tensor.dtype == DType.BOOL && value > 1) {
      throw new BadElementException("a BOOL other than 0 and 1");
    }
    return value;
  }

  /// An element that the requested type cannot express.
  static final class BadElementException extends IOException {
    private static final long serialVersionUID = 1L;

    BadElementException(String message) {
      super(message);
    }
  }
}
