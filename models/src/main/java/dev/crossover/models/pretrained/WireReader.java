// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.TensorFileException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/// The fields of one protobuf message, one after the other, from bytes that may be hostile.
///
/// Wire format: a key `number << 3 | type` as a varint; type 0 a varint, 1 eight bytes, 2 a length
/// and as many bytes, 5 four bytes. Groups (3 and 4), lengths beyond the message and varints of
/// more than 10 bytes are refused.
final class WireReader {
  static final int VARINT = 0;
  static final int BYTES = 2;
  private static final int LONGEST_VARINT = 10;

  private final Path path;
  private final byte[] bytes;
  private final int end;
  private int at;
  private int field;
  private int type;
  private long number;
  private int from;
  private int length;

  /// The fields of all bytes.
  WireReader(Path path, byte[] bytes) {
    this(path, bytes, 0, bytes.length);
  }

  private WireReader(Path path, byte[] bytes, int from, int end) {
    this.path = path;
    this.bytes = bytes;
    this.at = from;
    this.end = end;
  }

  /// Goes on to the next field.
  ///
  /// @return false at the end of the message
  boolean next() throws TensorFileException {
    if (at == end) {
      return false;
    }
    long key = varint();
    type = (int) (key & 7);
    long named = key >>> 3;
    if (named < 1 || named >= 1 << 29) {
      throw fault("field numbers must be from 1 to 2^29 - 1, but was " + named);
    }
    field = (int) named;
    switch (type) {
      case VARINT -> number = varint();
      case 1 -> skip(Long.BYTES);
      case BYTES -> {
        long given = varint();
        if (given < 0 || given > end - at) {
          throw fault(
              "a length must be at most the "
                  + (end - at)
                  + " bytes that follow, but was "
                  + given);
        }
        skip((int) given);
      }
      case 5 -> skip(Integer.BYTES);
      default -> throw fault("wire type must be 0, 1, 2 or 5, but was " + type);
    }
    return true;
  }

  private void skip(int count) throws TensorFileException {
    if (count > end - at) {
      throw fault("ends within a field");
    }
    from = at;
    length = count;
    at += count;
  }

  private long varint() throws TensorFileException {
    long value = 0;
    for (int i = 0; i < LONGEST_VARINT; i++) {
      if (at == end) {
        throw fault("ends within a number");
      }
      byte next = bytes[at++];
      value |= (long) (next & 0x7f) << 7 * i;
      if (next >= 0) {
        return value;
      }
    }
    throw fault("a number must be at most 10 bytes, but was longer");
  }

  /// Number of the field.
  int field() {
    return field;
  }

  /// The field as a number.
  long number() throws TensorFileException {
    require(VARINT);
    return number;
  }

  /// The numbers of a repeated field: one, or several packed.
  long[] numbers() throws TensorFileException {
    if (type == VARINT) {
      return new long[] {number};
    }
    require(BYTES);
    WireReader packed = new WireReader(path, bytes, from, from + length);
    long[] numbers = new long[length];
    int count = 0;
    while (packed.at < packed.end) {
      numbers[count++] = packed.varint();
    }
    return Arrays.copyOf(numbers, count);
  }

  /// The field as a message.
  WireReader message() throws TensorFileException {
    require(BYTES);
    return new WireReader(path, bytes, from, from + length);
  }

  /// The field as text.
  String text() throws TensorFileException {
    require(BYTES);
    return new String(bytes, from, length, StandardCharsets.UTF_8);
  }

  /// Where the bytes of the field begin.
  int from() throws TensorFileException {
    require(BYTES);
    return from;
  }

  /// Number of bytes of the field.
  int length() throws TensorFileException {
    require(BYTES);
    return length;
  }

  private void require(int expected) throws TensorFileException {
    if (type != expected) {
      throw fault("field " + field + " must have wire type " + expected + ", but was " + type);
    }
  }

  private TensorFileException fault(String what) {
    return new TensorFileException(path, what + ", at byte " + at);
  }
}
