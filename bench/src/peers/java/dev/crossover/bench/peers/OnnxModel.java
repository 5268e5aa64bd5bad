// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/// An ONNX model of one com.microsoft MultiHeadAttention node on `[batch, n, heads · d]`, as
/// protobuf bytes (field numbers of onnx.proto).
final class OnnxModel {
  private static final int FLOAT = 1;
  private static final int ATTRIBUTE_INT = 2;

  private OnnxModel() {}

  static byte[] of(int batch, int heads, int n, int keys, int d, boolean causal) {
    Message node = new Message();
    for (String input : new String[] {"q", "k", "v"}) {
      node.text(1, input);
    }
    node.text(2, "out").text(4, "MultiHeadAttention").text(7, "com.microsoft");
    node.message(5, attribute("num_heads", heads));
    node.message(5, attribute("unidirectional", causal ? 1 : 0));
    Message graph = new Message().message(1, node).text(2, "attention");
    for (String input : new String[] {"q", "k", "v"}) {
      graph.message(11, value(input, batch, input.equals("q") ? n : keys, heads * d));
    }
    graph.message(12, value("out", batch, n, heads * d));
    return new Message()
        .number(1, 9)
        .message(7, graph)
        .message(8, new Message().text(1, "").number(2, 17))
        .message(8, new Message().text(1, "com.microsoft").number(2, 1))
        .bytes();
  }

  private static Message attribute(String name, long value) {
    return new Message().text(1, name).number(3, value).number(20, ATTRIBUTE_INT);
  }

  private static Message value(String name, int batch, int n, int width) {
    Message shape = new Message();
    for (int size : new int[] {batch, n, width}) {
      shape.message(1, new Message().number(1, size));
    }
    Message tensor = new Message().number(1, FLOAT).message(2, shape);
    return new Message().text(1, name).message(2, new Message().message(1, tensor));
  }

  /// A protobuf message under construction.
  private static final class Message {
    private static final int LENGTH_DELIMITED = 2;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    Message number(int field, long value) {
      varint((long) field << 3);
      varint(value);
      return this;
    }

    Message text(int field, String text) {
      return raw(field, text.getBytes(StandardCharsets.UTF_8));
    }

    Message message(int field, Message message) {
      return raw(field, message.bytes());
    }

    byte[] bytes() {
      return out.toByteArray();
    }

    private Message raw(int field, byte[] bytes) {
      varint((long) field << 3 | LENGTH_DELIMITED);
      varint(bytes.length);
      out.writeBytes(bytes);
      return this;
    }

    private void varint(long value) {
      long rest = value;
      while ((rest & ~0x7fL) != 0) {
        out.write((int) (rest & 0x7f | 0x80));
        rest >>>= 7;
      }
      out.write((int) rest);
    }
  }
}
