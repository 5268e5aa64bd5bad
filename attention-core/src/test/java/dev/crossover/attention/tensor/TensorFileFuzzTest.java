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

  /// Elements as float and as double take 4 + 8 times an U8's bytes and half of that for F16, but
  /// only some of the bytes are elements.
  private static final int BYTES_PER_FILE_BYTE = 10;

  /// Buffers, messages and stack traces.
  private static final int FIXED_BYTES = 50_000;

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
    readAll(Files.write(path, valid));
    int refused = 0;
    for (int i = 0; i < FILES; i++) {
      byte[] damaged = format.equals("npz") ? damagedArchive(random) : damaged(valid, random);
      if (random.nextBoolean()) {
        repairLength(format, damaged);
      }
      Files.write(path, damaged);
      boolean[] opened = {false};
      long allocated;
      try {
        allocated =
            FileBytes.allocatedBy(
                () -> {
                  readAll(path);
                  opened[0] = true;
                });
      } catch (IOException | RuntimeException | Error e) {
        fail("file " + i + " of seed " + seed + " was answered with " + e, e);
        return;
      }
      refused += opened[0] ? 0 : 1;
      long allowed = FIXED_BYTES + (long) BYTES_PER_FILE_BYTE * damaged.length;
      String claim = "file " + i + " of seed " + seed + " took " + allocated + " bytes";
      assertTrue(allocated <= allowed, claim);
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

  private static void readAll(Path path) throws IOException {
    TensorFile file = TensorFiles.open(path);
    for (String name : file.names()) {
      Tensor tensor = file.tensor(name);
      assertEquals(tensor.size(), file.doubles(name).length);
      if (file.dtype(name).isIntegral()) {
        assertEquals(tensor.size(), file.ints(name).length);
      }
    }
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
