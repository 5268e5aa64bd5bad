// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// A safetensors header, parsed by a grammar of exactly its form:
///
/// ```text
/// header   = { entry , … }
/// entry    = "__metadata__" : { string : string , … }
///          | string : { field , … }          each field once, all three present
/// field    = "dtype" : string | "shape" : numbers | "data_offsets" : numbers
/// numbers  = [ integer >= 0 , … ]
/// ```
///
/// Since nothing nests deeper than that, nothing recurses: hostile nesting is a syntax error at its
/// second bracket. The parser works on the bytes; only the strings it keeps are decoded.
final class SafeTensorsHeader extends HeaderScanner {
  /// The one key that names no tensor.
  static final String METADATA = "__metadata__";

  /// How the format writes types, for example `U32` and `F8_E4M3`.
  private static final Pattern ANOTHER_TYPE = Pattern.compile("[A-Z][A-Z0-9_]{0,31}");

  private final Path path;

  private boolean hasMetadata;
  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final Map<String, StoredTensor> tensors = new LinkedHashMap<>();
  private final Map<String, String> unread = new LinkedHashMap<>();
  private final List<StoredTensor> ranges = new ArrayList<>();

  private SafeTensorsHeader(Path path, byte[] bytes) {
    super(bytes);
    this.path = path;
  }

  /// @throws TensorFileException at the first byte that breaks the grammar, and for a shape that
  ///     disagrees with its range; ranges are not compared with one another here
  static SafeTensorsHeader parse(Path path, byte[] bytes) throws TensorFileException {
    SafeTensorsHeader header = new SafeTensorsHeader(path, bytes);
    if (bytes.length == 0 || bytes[0] != '{') {
      throw header.fault("must begin with '{'");
    }
    header.header();
    return header;
  }

  Map<String, String> metadata() {
    return metadata;
  }

  Map<String, StoredTensor> tensors() {
    return tensors;
  }

  /// Types that are not read, by the names of their tensors.
  Map<String, String> unread() {
    return unread;
  }

  /// Where all tensors lie, those that are not read included, as bytes of no meaning.
  List<StoredTensor> ranges() {
    return ranges;
  }

  /// The bytes before the data, length included; the tensors follow one another in the given order.
  static byte[] format(Map<String, String> metadata, Iterable<StoredTensor> tensors) {
    StringBuilder text = new StringBuilder("{");
    if (!metadata.isEmpty()) {
      quote(text, METADATA).append(":{");
      for (Map.Entry<String, String> entry : metadata.entrySet()) {
        quote(quote(text, entry.getKey()).append(':'), entry.getValue()).append(',');
      }
      text.setCharAt(text.length() - 1, '}');
      text.append(',');
    }
    long begin = 0;
    for (StoredTensor tensor : tensors) {
      quote(text, tensor.name).append(":{\"dtype\":\"").append(tensor.dtype);
      text.append("\",\"shape\":").append(Arrays.toString(tensor.shape).replace(" ", ""));
      long end = begin + tensor.bytes();
      text.append(",\"data_offsets\":[").append(begin).append(',').append(end).append("]},");
      begin = end;
    }
    if (text.length() > 1) {
      text.setLength(text.length() - 1);
    }
    byte[] json = text.append('}').toString().getBytes(StandardCharsets.UTF_8);
    int length = (json.length + 7) / 8 * 8;
    ByteBuffer header = ByteBuffer.allocate(8 + length).order(ByteOrder.LITTLE_ENDIAN);
    header.putLong(length).put(json);
    while (header.hasRemaining()) {
      header.put((byte) ' ');
    }
    return header.array();
  }

  private static StringBuilder quote(StringBuilder text, String raw) {
    text.append('"');
    for (int i = 0; i < raw.length(); i++) {
      char c = raw.charAt(i);
      if (c < 0x20) {
        text.append("\\u00").append(c < 0x10 ? '0' : '1').append(Character.forDigit(c & 15, 16));
      } else if (c == '"' || c == '\\') {
        text.append('\\').append(c);
      } else {
        text.append(c);
      }
    }
    return text.append('"');
  }

  private void header() throws TensorFileException {
    expect('{');
    for (boolean first = true; more('}', first); first = false) {
      String name = string();
      expect(':');
      if (!name.equals(METADATA)) {
        boolean again = tensors.containsKey(name) || unread.containsKey(name);
        ranges.add(tensor(name));
        if (again) {
          throw fault("names " + TensorFileException.quote(name) + " twice");
        }
      } else if (hasMetadata) {
        throw fault("names " + TensorFileException.quote(name) + " twice");
      } else {
        hasMetadata = true;
        readMetadata();
      }
    }
    skipSpace();
    if (at < bytes.length) {
      throw fault("must end after its object, but goes on");
    }
  }

  private void readMetadata() throws TensorFileException {
    expect('{');
    for (boolean first = true; more('}', first); first = false) {
      String key = string();
      expect(':');
      if (metadata.putIfAbsent(key, string()) != null) {
        throw fault("names the metadata " + TensorFileException.quote(key) + " twice");
      }
    }
  }

  /// Reads a tensor's entry, keeps it or its type, and returns where it lies.
  private StoredTensor tensor(String name) throws TensorFileException {
    String dtype = null;
    long[] shape = null;
    long[] offsets = null;
    expect('{');
    for (boolean first = true; more('}', first); first = false) {
      String field = string();
      expect(':');
      boolean again;
      switch (field) {
        case "dtype" -> {
          again = dtype != null;
          dtype = string();
        }
        case "shape" -> {
          again = shape != null;
          shape = numbers('[', ']');
        }
        case "data_offsets" -> {
          again = offsets != null;
          offsets = numbers('[', ']');
        }
        default ->
            throw fault("gives " + of(name) + " an unknown " + TensorFileException.quote(field));
      }
      if (again) {
        throw fault("gives " + of(name) + " two of " + TensorFileException.quote(field));
      }
    }
    if (dtype == null || shape == null || offsets == null) {
      throw fault("must give " + of(name) + " dtype, shape and data_offsets");
    }
    requireRange(name, offsets);
    DType known = dtype(name, dtype);
    if (known != null) {
      StoredTensor tensor = checked(name, known, shape, offsets);
      tensors.put(name, tensor);
      return tensor;
    }
    unread.put(name, dtype);
    long count = offsets[1] - offsets[0];
    return new StoredTensor(
        name, DType.U8, ByteOrder.LITTLE_ENDIAN, false, new long[] {count}, count, offsets[0]);
  }

  private void requireRange(String name, long[] offsets) throws TensorFileException {
    if (offsets.length != 2 || offsets[0] > offsets[1]) {
      throw fault(
          "data_offsets of "
              + of(name)
              + " must be [begin, end] with begin <= end, but was "
              + brief(offsets));
    }
  }

  private StoredTensor checked(String name, DType dtype, long[] shape, long[] offsets)
      throws TensorFileException {
    long count = StoredTensor.countOf(shape, dtype);
    if (count < 0) {
      throw fault("shape of " + of(name) + " overflows: " + brief(shape));
    }
    long range = offsets[1] - offsets[0];
    if (range != count * dtype.bytes()) {
      throw fault(
          "data_offsets of "
              + of(name)
              + " must span the "
              + count * dtype.bytes()
              + " bytes of its shape, but span "
              + range);
    }
    return new StoredTensor(name, dtype, ByteOrder.LITTLE_ENDIAN, false, shape, count, offsets[0]);
  }

  /// The type of a name; nothing for one that reads like a type but is none of ours.
  private @Nullable DType dtype(String name, String text) throws TensorFileException {
    for (DType dtype : DType.values()) {
      if (dtype.name().equals(text)) {
        return dtype;
      }
    }
    if (ANOTHER_TYPE.matcher(text).matches()) {
      return null;
    }
    throw fault(
        "dtype of "
            + of(name)
            + " must be one of "
            + Arrays.toString(DType.values())
            + ", but was "
            + TensorFileException.quote(text));
  }

  private String string() throws TensorFileException {
    expect('"');
    int start = at;
    boolean escaped = false;
    while (at < bytes.length && bytes[at] != '"') {
      if (bytes[at] >= 0 && bytes[at] < 0x20) {
        throw fault("holds a control character in a string");
      }
      if (bytes[at] == '\\') {
        escaped = true;
        at++;
      }
      at++;
    }
    if (at >= bytes.length) {
      at = bytes.length;
      throw fault("ends within a string");
    }
    String raw = decode(start, at - start);
    at++;
    return escaped ? unescape(raw) : raw;
  }

  private String decode(int start, int length) throws TensorFileException {
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(bytes, start, length))
          .toString();
    } catch (CharacterCodingException e) {
      throw fault("must be UTF-8");
    }
  }

  private String unescape(String raw) throws TensorFileException {
    StringBuilder text = new StringBuilder(raw.length());
    for (int i = 0; i < raw.length(); i++) {
      char c = raw.charAt(i);
      if (c != '\\') {
        text.append(c);
        continue;
      }
      c = raw.charAt(++i);
      switch (c) {
        case '"', '\\', '/' -> text.append(c);
        case 'b' -> text.append('\b');
        case 'f' -> text.append('\f');
        case 'n' -> text.append('\n');
        case 'r' -> text.append('\r');
        case 't' -> text.append('\t');
        case 'u' -> {
          text.append(codeUnit(raw, i + 1));
          i += 4;
        }
        default -> throw fault("holds an unknown escape in a string");
      }
    }
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      throw fault("escapes half a surrogate pair");
    }
    return text.toString();
  }

  private char codeUnit(String raw, int start) throws TensorFileException {
    int unit = 0;
    for (int i = start; i < start + 4; i++) {
      int digit =
          i < raw.length() && raw.charAt(i) < 0x80 ? Character.digit(raw.charAt(i), 16) : -1;
      if (digit < 0) {
        throw fault("must hold four hexadecimal digits after \\u");
      }
      unit = 16 * unit + digit;
    }
    return (char) unit;
  }

  private static String of(String name) {
    return "tensor " + TensorFileException.quote(name);
  }

  private static String brief(long[] numbers) {
    String all = Arrays.toString(numbers);
    return all.length() <= 100 ? all : all.substring(0, 100) + "…";
  }

  @Override
  TensorFileException fault(String fault) {
    return new TensorFileException(path, "header (at byte " + at + ") " + fault);
  }
}
