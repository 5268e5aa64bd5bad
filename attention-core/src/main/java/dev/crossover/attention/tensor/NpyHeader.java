// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.regex.Pattern;

/// The header of a `.npy` stream, parsed by a grammar of exactly the Python literal it holds:
///
/// ```text
/// header = { entry , … }           each entry once, all three present, in any order
/// entry  = 'descr' : string | 'fortran_order' : True or False | 'shape' : ( integer , … )
/// ```
///
/// A last comma is allowed, and required in a tuple of one. Nothing recurses. Versions 1 to 3
/// differ in the width of the length and in the encoding of field names, of which plain arrays have
/// none.
final class NpyHeader extends HeaderScanner {
  static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};

  /// NumPy's types and ours.
  private static final Map<String, DType> TYPES =
      Map.of(
          "f2",
          DType.F16,
          "f4",
          DType.F32,
          "f8",
          DType.F64,
          "i4",
          DType.I32,
          "i8",
          DType.I64,
          "u1",
          DType.U8,
          "b1",
          DType.BOOL);

  /// NumPy itself refuses longer ones.
  private static final int LONGEST_HEADER = 10_000;

  /// How NumPy writes the types of arrays that are not read: a letter, mostly a size, and the unit
  /// of times.
  private static final Pattern PLAIN_TYPE = Pattern.compile("[<>|=]?[a-zA-Z]\\d*(\\[\\w{1,8}])?");

  private final Path path;
  private final String name;

  private NpyHeader(Path path, String name, byte[] bytes) {
    super(bytes);
    this.path = path;
    this.name = name;
  }

  /// A sound header of an array whose elements are of a type that is not read.
  static final class UnreadTypeException extends IOException {
    private static final long serialVersionUID = 1L;
    private final String type;

    UnreadTypeException(String type, String message) {
      super(message);
      this.type = type;
    }

    /// The type as the header writes it.
    String type() {
      return type;
    }

    /// The fault that it is where the array was asked for.
    TensorFileException asFault(Path path) {
      return new TensorFileException(path, String.valueOf(getMessage()), this);
    }
  }

  /// Reads a header and leaves the stream at the first element.
  ///
  /// @param name the array's name, also in messages
  /// @throws UnreadTypeException if its elements are of a type that is not read
  static StoredTensor read(Path path, String name, InputStream in) throws IOException {
    byte[] start = in.readNBytes(8);
    if (start.length < 8 || !Arrays.equals(start, 0, 6, MAGIC, 0, 6)) {
      throw fault(path, name, "must begin with \\x93NUMPY and a version");
    }
    int version = start[6];
    if (version < 1 || version > 3 || start[7] != 0) {
      throw fault(
          path,
          name,
          "version must be 1.0, 2.0 or 3.0, but was "
              + Byte.toUnsignedInt(start[6])
              + "."
              + Byte.toUnsignedInt(start[7]));
    }
    byte[] width = in.readNBytes(version == 1 ? 2 : 4);
    if (width.length < (version == 1 ? 2 : 4)) {
      throw fault(path, name, "ends within the length of its header");
    }
    long length = 0;
    for (int i = width.length - 1; i >= 0; i--) {
      length = length << 8 | Byte.toUnsignedLong(width[i]);
    }
    if (length > LONGEST_HEADER) {
      throw fault(
          path, name, "header length must be at most " + LONGEST_HEADER + ", but was " + length);
    }
    byte[] literal = in.readNBytes((int) length);
    if (literal.length < length) {
      throw fault(
          path, name, "header length must be at most " + literal.length + ", but was " + length);
    }
    return new NpyHeader(path, name, literal).parse(8L + width.length + length);
  }

  /// Refuses a stream that does not end with its array.
  ///
  /// @param bytes length of the whole stream
  static void requireLength(Path path, StoredTensor tensor, long bytes) throws TensorFileException {
    if (tensor.end() != bytes) {
      throw fault(
          path,
          tensor.name,
          "must hold the "
              + tensor.bytes()
              + " bytes of its shape after the header, but was "
              + (bytes - tensor.begin));
    }
  }

  /// The bytes before the elements, padded as NumPy does so that these begin at a multiple of 64.
  static byte[] format(StoredTensor tensor, int version) {
    StringBuilder shape = new StringBuilder();
    for (long extent : tensor.shape) {
      shape.append(shape.isEmpty() ? "" : ", ").append(extent);
    }
    shape.append(tensor.shape.length == 1 ? "," : "");
    String literal =
        "{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }"
            .formatted(descr(tensor), tensor.fortranOrder ? "True" : "False", shape);
    int prefix = version == 1 ? 10 : 12;
    int total = (prefix + literal.length() + 1 + 63) / 64 * 64;
    ByteBuffer header = ByteBuffer.allocate(total).order(ByteOrder.LITTLE_ENDIAN);
    header.put(MAGIC).put((byte) version).put((byte) 0);
    if (version == 1) {
      header.putShort((short) (total - prefix));
    } else {
      header.putInt(total - prefix);
    }
    header.put(literal.getBytes(StandardCharsets.US_ASCII));
    while (header.remaining() > 1) {
      header.put((byte) ' ');
    }
    return header.put((byte) '\n').array();
  }

  private static String descr(StoredTensor tensor) {
    for (Map.Entry<String, DType> type : TYPES.entrySet()) {
      if (type.getValue() == tensor.dtype) {
        boolean little = tensor.byteOrder == ByteOrder.LITTLE_ENDIAN;
        return (tensor.dtype.bytes() == 1 ? "|" : little ? "<" : ">") + type.getKey();
      }
    }
    throw new IllegalArgumentException("dtype must be one NumPy knows, but was " + tensor.dtype);
  }

  private StoredTensor parse(long begin) throws IOException {
    String descr = null;
    Boolean fortranOrder = null;
    long[] shape = null;
    expect('{');
    for (boolean first = true; more('}', first); first = false) {
      String key = string();
      expect(':');
      boolean again;
      switch (key) {
        case "descr" -> {
          again = descr != null;
          descr = descr();
        }
        case "fortran_order" -> {
          again = fortranOrder != null;
          fortranOrder = bool();
        }
        case "shape" -> {
          again = shape != null;
          shape = shape();
        }
        default -> throw fault("holds an unknown " + TensorFileException.quote(key));
      }
      if (again) {
        throw fault("holds two of " + TensorFileException.quote(key));
      }
    }
    skipSpace();
    if (at < bytes.length) {
      throw fault("must end after its dictionary, but goes on");
    }
    if (descr == null || fortranOrder == null || shape == null) {
      throw fault("must hold descr, fortran_order and shape");
    }
    return tensor(descr, fortranOrder, shape, begin);
  }

  private StoredTensor tensor(String descr, boolean fortranOrder, long[] shape, long begin)
      throws IOException {
    DType dtype = descr.length() == 3 ? TYPES.get(descr.substring(1)) : null;
    char order = descr.isEmpty() ? ' ' : descr.charAt(0);
    boolean known = order == '<' || order == '>' || order == '|';
    if (dtype == null || !known || (order == '|' && dtype.bytes() > 1)) {
      String fault =
          "descr must be a byte order (<, > or |) and one of f2 f4 f8 i4 i8 u1 b1, but was "
              + TensorFileException.quote(descr);
      boolean another = dtype == null && PLAIN_TYPE.matcher(descr).matches();
      if (another || descr.startsWith("[")) {
        throw new UnreadTypeException(descr, faultText(fault));
      }
      throw fault(fault);
    }
    long count = StoredTensor.countOf(shape, dtype);
    if (count < 0 || count * dtype.bytes() > Long.MAX_VALUE - begin) {
      throw fault("shape overflows");
    }
    ByteOrder byteOrder = order == '>' ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    return new StoredTensor(name, dtype, byteOrder, fortranOrder, shape, count, begin);
  }

  @Override
  boolean allowsLastComma() {
    return true;
  }

  @Override
  long number() throws TensorFileException {
    long value = super.number();
    if (at < bytes.length && bytes[at] == 'L') {
      // Python 2 wrote its long integers so.
      at++;
    }
    return value;
  }

  /// A type's name, or the list that describes the fields of a structured one, as it is written.
  private String descr() throws TensorFileException {
    skipSpace();
    if (at >= bytes.length || bytes[at] != '[') {
      return string();
    }
    int start = at;
    int depth = 0;
    do {
      if (at >= bytes.length) {
        throw fault("ends within a list");
      }
      switch (bytes[at]) {
        case '\'', '"' -> {
          string();
          continue;
        }
        case '[', '(' -> depth++;
        case ']', ')' -> depth--;
        default -> {
          // numbers, commas and spaces between fields
        }
      }
      at++;
    } while (depth > 0);
    return new String(bytes, start, at - start, StandardCharsets.ISO_8859_1);
  }

  private String string() throws TensorFileException {
    skipSpace();
    if (at >= bytes.length || (bytes[at] != '\'' && bytes[at] != '"')) {
      throw fault("must hold a string here");
    }
    byte quote = bytes[at++];
    int start = at;
    while (at < bytes.length && bytes[at] != quote) {
      if (bytes[at] < 0x20 || bytes[at] == '\\') {
        throw fault("must hold plain ASCII in its strings");
      }
      at++;
    }
    if (at >= bytes.length) {
      throw fault("ends within a string");
    }
    return new String(bytes, start, at++ - start, StandardCharsets.US_ASCII);
  }

  private long[] shape() throws TensorFileException {
    long[] shape = numbers('(', ')');
    if (shape.length == 1 && !endedWithComma()) {
      throw fault("must write a shape of one dimension as (n,)");
    }
    return shape;
  }

  private boolean bool() throws TensorFileException {
    skipSpace();
    if (word("True")) {
      return true;
    }
    if (word("False")) {
      return false;
    }
    throw fault("must hold True or False here");
  }

  private boolean word(String word) {
    boolean found =
        bytes.length - at >= word.length()
            && word.equals(new String(bytes, at, word.length(), StandardCharsets.ISO_8859_1));
    at += found ? word.length() : 0;
    return found;
  }

  @Override
  TensorFileException fault(String fault) {
    return new TensorFileException(path, faultText(fault));
  }

  private String faultText(String fault) {
    return withSubject(name, "header (at byte " + at + ") " + fault);
  }

  private static TensorFileException fault(Path path, String name, String fault) {
    return new TensorFileException(path, withSubject(name, fault));
  }

  private static String withSubject(String name, String fault) {
    return name.equals(NpyFile.NAME)
        ? fault
        : "entry " + TensorFileException.quote(name) + ": " + fault;
  }
}
