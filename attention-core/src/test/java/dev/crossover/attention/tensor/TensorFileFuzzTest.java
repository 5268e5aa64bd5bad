// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Damaged files, seeded: whatever is changed, the answer is tensors or a [TensorFileException],
/// and memory stays in proportion to the file.
class TensorFileFuzzTest {
  private static final int FILES = 600;

  /// Beyond the array it returns, a call needs the header's bytes, the strings made of them, and a
  /// buffer no larger than the tensor's bytes.
  private static final int COPIES_OF_THE_FILE = 3;

  /// File handles, an archive's inflater, an exception with its trace: 12 kB were measured for
  /// opening five tensors, 3 kB for reading one from an archive.
  private static final int FIXED_BYTES = 20_000;

  /// What deflate makes of one byte at most, and what an array stored as it is makes of it.
  private static final int HIGHEST_RATIO = 1032;

  private static final String[] SNIPPETS = {
    "[",
    "{",
    "}",
    "]",
    "(",
    ")",
    "\"",
    "'",
    "\\",
    "\\u",
    "\\ud800",
    ",",
    ":",
    "-1",
    "0",
    "00",
    "1e9",
    "9223372036854775807",
    "9999999999999999999999",
    "4294967296",
    "10000000000",
    "F64",
    "U8",
    "__metadata__",
    "shape",
    "True",
    "<f8",
    "\u0000",
    "é"
  };

  @TempDir Path folder;

  @ParameterizedTest(name = "{0}, seed {1}")
  @CsvSource({"safetensors, 1", "safetensors, 2", "npy, 3", "npy, 4", "npz, 5", "npz, 6"})
  @Timeout(60)
  void damagedFilesAreReadOrRefusedWithinTheirOwnMemory(String format, long seed)
      throws IOException {
    SplittableRandom random = new SplittableRandom(seed);
    Path path = folder.resolve("damaged." + format);
    byte[] valid = valid(format);
    assertTrue(readAll(Files.write(path, valid), "the sound file"));
    int refused = 0;
    for (int i = 0; i < FILES; i++) {
      byte[] damaged = format.equals("npz") ? damagedArchive(random) : damaged(valid, random);
      if (random.nextBoolean()) {
        repairLength(format, damaged);
      }
      Files.write(path, damaged);
      String claim = "file " + i + " of seed " + seed;
      try {
        refused += readAll(path, claim) ? 0 : 1;
      } catch (IOException | RuntimeException e) {
        fail(claim + " was answered with " + e, e);
      }
    }
    // Damage that is never noticed, or always at once, would test nothing.
    assertTrue(refused > FILES / 4 && refused < FILES, refused + " refused");
  }

  @Test
  void theMeterSeesAnAllocation() throws IOException {
    assertTrue(
        FileBytes.allocatedBy(() -> assertEquals(1_000_000, new byte[1_000_000].length))
            > 1_000_000);
  }

  /// Opens a file and reads each tensor in each way, every call within its memory; whether nothing
  /// was refused.
  private static boolean readAll(Path path, String claim) throws IOException {
    TensorFile[] opened = new TensorFile[1];
    requireBounded(path, claim + ", opening", 0, () -> opened[0] = TensorFiles.open(path));
    TensorFile file = opened[0];
    if (file == null) {
      return false;
    }
    int[] read = {0};
    int calls = 0;
    for (String name : file.names()) {
      int count = count(path, file, name);
      String what = claim + ", " + name;
      // counted twice, because every call is made twice
      requireBounded(
          path, what, 4L * count, () -> read[0] += file.tensor(name).size() == count ? 1 : -99);
      requireBounded(
          path, what, 8L * count, () -> read[0] += file.doubles(name).length == count ? 1 : -99);
      calls += 4;
      if (file.dtype(name).isIntegral()) {
        requireBounded(
            path, what, 4L * count, () -> read[0] += file.ints(name).length == count ? 1 : -99);
        calls += 2;
      }
    }
    assertTrue(read[0] >= 0, claim + " gave an array of another length");
    return read[0] == calls;
  }

  /// Elements that a header claims; what they would take is checked against the file first.
  private static int count(Path path, TensorFile file, String name) throws IOException {
    long count = 1;
    for (long extent : file.shape(name)) {
      count *= extent;
    }
    long ratio = path.toString().endsWith(".npz") ? HIGHEST_RATIO : 1;
    assertTrue(
        count * file.dtype(name).bytes() <= ratio * Files.size(path),
        name + " claims " + count + " elements");
    return (int) count;
  }

  /// Makes a call twice, since the first one may load classes, and holds the second to the array it
  /// returns and what reading takes.
  private static void requireBounded(Path path, String what, long array, FileBytes.Action call)
      throws IOException {
    FileBytes.allocatedBy(call);
    long allocated = FileBytes.allocatedBy(call);
    long allowed = array + COPIES_OF_THE_FILE * Files.size(path) + FIXED_BYTES;
    assertTrue(allocated <= allowed, what + " took " + allocated + " of " + allowed + " bytes");
  }

  @ParameterizedTest
  @CsvSource({"U8, 1", "F16, 2", "F32, 4", "F64, 8", "I64, 8"})
  void readingTakesTheArrayAskedForAndOneBuffer(String type, int width) throws IOException {
    int count = 1 << 20;
    String header =
        "{\"a\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]}}"
            .formatted(type, count, count * width);
    Path plain = folder.resolve("large.safetensors");
    Files.write(plain, FileBytes.safetensors(header, new byte[count * width]));
    Path packed = folder.resolve("large.npz");
    String descr = (width == 1 ? "|" : "<") + type.toLowerCase(Locale.ROOT).charAt(0) + width;
    byte[] array = FileBytes.npy(descr, "(%d,)".formatted(count), new byte[count * width]);
    Files.write(packed, FileBytes.zip(true, "a.npy", array));
    for (Path path : List.of(plain, packed)) {
      TensorFile file = TensorFiles.open(path);
      requireOneBuffer(path, 4L * count, () -> file.tensor("a"));
      requireOneBuffer(path, 8L * count, () -> file.doubles("a"));
      if (file.dtype("a").isIntegral()) {
        requireOneBuffer(path, 4L * count, () -> file.ints("a"));
      }
    }
  }

  private static void requireOneBuffer(Path path, long array, FileBytes.Action call)
      throws IOException {
    FileBytes.allocatedBy(call);
    long allocated = FileBytes.allocatedBy(call);
    // the elements' buffer, the archive's own, and the fixed part
    long allowed = array + 2 * (1 << 16) + FIXED_BYTES;
    assertTrue(allocated <= allowed, path + " took " + allocated + " of " + allowed + " bytes");
  }

  private static byte[] valid(String format) throws IOException {
    return switch (format) {
      case "safetensors" ->
          FileBytes.safetensors(
              """
              {"__metadata__":{"mechanism":"softmax","note":"\\u00e9 ü"},\
              "q":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},\
              "out":{"dtype":"F64","shape":[2],"data_offsets":[24,40]},\
              "h":{"dtype":"F16","shape":[4],"data_offsets":[40,48]},\
              "i":{"dtype":"I64","shape":[],"data_offsets":[48,56]},\
              "mask":{"dtype":"BOOL","shape":[1,8],"data_offsets":[56,64]}}   \
              """,
              new byte[64]);
      case "npy" -> array("<f4", "(4, 5)", 80);
      default -> archive(true, array("<f4", "(4, 5)", 80));
    };
  }

  private static byte[] array(String descr, String shape, int bytes) {
    String literal = "{'descr': '%s', 'fortran_order': True, 'shape': %s, }      \n";
    return FileBytes.npy(1, literal.formatted(descr, shape), new byte[bytes]);
  }

  private static byte[] archive(boolean deflated, byte[] array) throws IOException {
    return FileBytes.zip(deflated, "q.npy", array, "mask.npy", array("|b1", "(7,)", 7));
  }

  /// Damage to the archive, or to an array within a sound archive.
  private static byte[] damagedArchive(SplittableRandom random) throws IOException {
    byte[] array = array("<f4", "(4, 5)", 80);
    if (random.nextInt(3) > 0) {
      return damaged(archive(random.nextBoolean(), array), random);
    }
    byte[] damaged = damaged(array, random);
    repairLength("npy", damaged);
    return archive(random.nextBoolean(), damaged);
  }

  private static byte[] damaged(byte[] valid, SplittableRandom random) {
    byte[] bytes = valid.clone();
    for (int left = 1 + random.nextInt(3); left > 0; left--) {
      int at = random.nextInt(bytes.length + 1);
      int end = Math.min(bytes.length, at + 1 + random.nextInt(16));
      bytes =
          switch (random.nextInt(8)) {
            case 0 -> flipped(bytes, at, 1 << random.nextInt(8));
            case 1 -> flipped(bytes, at, random.nextInt(256));
            case 2 -> Arrays.copyOf(bytes, at);
            case 3 -> Arrays.copyOf(bytes, bytes.length + random.nextInt(64));
            case 4 -> spliced(bytes, at, end, new byte[0]);
            case 5 -> spliced(bytes, at, at, Arrays.copyOfRange(bytes, at, end));
            case 6 -> number(bytes, at, random);
            default -> {
              String snippet = SNIPPETS[random.nextInt(SNIPPETS.length)];
              int to = random.nextBoolean() ? at : Math.min(bytes.length, at + snippet.length());
              yield spliced(bytes, at, to, snippet.getBytes(StandardCharsets.UTF_8));
            }
          };
    }
    return bytes;
  }

  private static byte[] flipped(byte[] bytes, int at, int bits) {
    if (at < bytes.length) {
      bytes[at] ^= (byte) bits;
    }
    return bytes;
  }

  private static byte[] spliced(byte[] bytes, int from, int to, byte[] insertion) {
    return ByteBuffer.allocate(bytes.length - (to - from) + insertion.length)
        .put(bytes, 0, from)
        .put(insertion)
        .put(bytes, to, bytes.length - to)
        .array();
  }

  /// Overwrites two, four or eight bytes with a number at the edge of some type.
  private static byte[] number(byte[] bytes, int at, SplittableRandom random) {
    long[] edges = {
      0, 1, -1, 0x7fff, 0xffff, 1L << 31, (1L << 32) - 16, Long.MAX_VALUE, 10_000_000_000L
    };
    long edge = edges[random.nextInt(edges.length)];
    int width = 2 << random.nextInt(3);
    for (int i = 0; i < width && at + i < bytes.length; i++) {
      bytes[at + i] = (byte) (edge >> 8 * i);
    }
    return bytes;
  }

  /// Lets the header end where its text does, so that damage within it is reached.
  private static void repairLength(String format, byte[] bytes) {
    String text = new String(bytes, StandardCharsets.ISO_8859_1);
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    if (format.equals("safetensors") && text.lastIndexOf('}') > 8) {
      buffer.putLong(0, text.lastIndexOf('}') + 1 - 8);
    } else if (format.equals("npy") && text.lastIndexOf('}') > 10) {
      buffer.putShort(8, (short) (text.lastIndexOf('}') + 1 - 10));
    }
  }
}
