// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class InputSourceTest {
  private static final AttentionShape ANY = AttentionShape.of(1, 1, 16, 8);

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(
      strings = {
        "captured",
        "captured:heads=1",
        "captured:repeat=8",
        "captured:heads=1,repeat=2",
        "gaussian:scale=4",
        "gaussian:scale=0.5",
        "file:path=/a%2Cb%3Dc%25,k=key,layer=2,heads=0/3"
      })
  void labelMakesTheSourceAgain(String label) {
    assertEquals(label, InputSource.parse(label).label());
  }

  @Test
  void typingErrorIsAnsweredWithTheNearestName() {
    assertTrue(refusal("capturd").endsWith("did you mean captured?"), refusal("capturd"));
    assertTrue(refusal("gaussian:scal=1").endsWith("did you mean scale?"));
    assertTrue(refusal("gaussian:scale=NaN").contains("scale must be a finite number"));
    assertTrue(refusal("gaussian:scale=x").contains("must be a finite number"));
    assertTrue(refusal("captured:heads=x").contains("heads must be a number"));
    assertTrue(refusal("file").contains("path must be given"));
  }

  /// Behind the file's last position comes its first again.
  @Test
  void capturedInputMayComeAgain() throws IOException {
    InputSource captured = InputSource.parse("captured:heads=1,repeat=3");
    int length = captured.maxSeqLen();
    assertEquals(3 * 8192, length);
    AttentionShape shape = captured.shapeFor(ANY.withSeqLens(length, length));
    Tensors thrice = captured.load(shape, 1);
    InputSource plain = InputSource.parse("captured:heads=1");
    Tensors once = plain.load(plain.shapeFor(ANY.withSeqLens(8192, 8192)), 1);
    for (String name : List.of("q", "k", "v")) {
      float[] whole = thrice.get(name).data();
      float[] part = once.get(name).data();
      assertEquals(3 * part.length, whole.length);
      for (int i = 0; i < whole.length; i++) {
        assertEquals(part[i % part.length], whole[i]);
      }
    }
    assertTrue(refusal("captured:repeat=0").contains("repeat must be from 1"));
  }

  @Test
  void capturedInputFollowsItsFileAndIsThePrefixOfTheLongerOne() throws IOException {
    InputSource captured = InputSource.parse("captured");
    assertEquals(8192, captured.maxSeqLen());
    AttentionShape shape = captured.shapeFor(ANY);
    assertEquals(new AttentionShape(1, 2, 2, 16, 16, 64, 64, 64), shape);
    Tensors few = captured.load(shape, 1);
    Tensors more = captured.load(captured.shapeFor(ANY.withSeqLens(32, 32)), 1);
    for (String name : List.of("q", "k", "v")) {
      float[] head1 = Arrays.copyOfRange(few.get(name).data(), 16 * 64, 2 * 16 * 64);
      float[] same = Arrays.copyOfRange(more.get(name).data(), 32 * 64, 32 * 64 + 16 * 64);
      assertArrayEquals(head1, same, name);
    }
  }

  @Test
  void longerThanTheFileIsRefused() {
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class,
            () -> InputSource.parse("captured").shapeFor(ANY.withSeqLens(8193, 8193)));
    assertTrue(refused.getMessage().contains("8192"), refused.getMessage());
  }

  /// Provenance states 1.51 nats for the model's head 3 over the last 4096 rows; here 64 rows of
  /// all positions of both heads are sampled, so only the order of size can be compared: far below
  /// uniform.
  @Test
  void capturedAttentionIsPeaked() throws IOException {
    InputSource captured = InputSource.parse("captured");
    AttentionShape shape = captured.shapeFor(ANY.withSeqLens(2048, 2048));
    Tensors t = captured.load(shape, 1);
    AttentionRows rows =
        AttentionRows.of(
            new ExactTarget(shape, Mask.causal(), t.get("q"), t.get("k"), t.get("v"), 0.125));
    assertTrue(rows.entropy() > 1 && rows.entropy() < 4, "entropy " + rows.entropy());
    assertTrue(rows.topMass().get(32) > 0.6, "mass " + rows.topMass());
    assertTrue(rows.uniformEntropy() > 6.4, "uniform " + rows.uniformEntropy());
  }

  @Test
  void equalScoresHaveTheUniformEntropy() {
    AttentionShape shape = AttentionShape.of(1, 1, 64, 4);
    Tensor zero = Tensor.zeros(1, 1, 64, 4);
    AttentionRows rows =
        AttentionRows.of(new ExactTarget(shape, Mask.none(), zero, zero, zero, 0.5));
    assertEquals(Math.log(64), rows.entropy(), 1e-12);
    assertEquals(rows.uniformEntropy(), rows.entropy(), 1e-12);
    assertEquals(32 / 64.0, rows.topMass().get(32), 1e-12);
  }

  /// 64 · 64 scores per head, each of variance scale²: the sample deviation of 4 · 4096 weakly
  /// dependent scores lies within 10 % of it.
  @Test
  void gaussianScoresHaveTheChosenDeviation() {
    AttentionShape shape = AttentionShape.of(1, 4, 64, 64);
    Tensors t = new GaussianInput(3).load(shape, 5);
    double squares = 0;
    for (int h = 0; h < 4; h++) {
      for (int i = 0; i < 64; i++) {
        for (int j = 0; j < 64; j++) {
          double score = 0;
          for (int a = 0; a < 64; a++) {
            score +=
                t.get("q").data()[shape.queryOffset(0, h) + i * 64 + a]
                    * t.get("k").data()[shape.keyOffset(0, h) + j * 64 + a];
          }
          squares += score * score / 64;
        }
      }
    }
    assertEquals(3, Math.sqrt(squares / (4 * 64 * 64)), 0.3);
    assertArrayEquals(t.get("k").data(), new GaussianInput(3).load(shape, 5).get("k").data());
    assertFalse(
        Arrays.equals(t.get("k").data(), new GaussianInput(3).load(shape, 6).get("k").data()));
  }

  @Test
  void userFileWithSharedKeyHeadsKeepsOrCopiesThem() throws IOException {
    Path file = folder.resolve("mine.safetensors");
    write(file, "l1.q", new int[] {4, 8, 2}, "l1.k", new int[] {2, 8, 2}, "v", new int[] {2, 8, 3});
    List<String> names = List.of("l{layer}.q", "l{layer}.k", "v");
    InputSource all = InputSource.parse(FileInput.label(file, names, 1, List.of()));
    assertEquals(new AttentionShape(1, 4, 2, 4, 4, 2, 2, 3), all.shapeFor(ANY.withSeqLens(4, 4)));
    InputSource some = InputSource.parse(FileInput.label(file, names, 1, List.of(3, 0)));
    AttentionShape shape = some.shapeFor(ANY.withSeqLens(4, 4));
    assertEquals(new AttentionShape(1, 2, 2, 4, 4, 2, 2, 3), shape);
    Tensors chosen = some.load(shape, 0);
    assertEquals(3 * 8 * 2, chosen.get("q").data()[0]);
    assertEquals(8 * 2, chosen.get("k").data()[0]);
    assertEquals(0, chosen.get("v").data()[4 * 3]);
  }

  /// The same elements in both orders: element (h, i, x) of one is element (i, h, x) of the other.
  @Test
  void headsAfterPositionsAreTheSameTensors() throws IOException {
    Tensor first = Draws.gaussian(1, 3, 5, 2);
    Tensor after = Tensor.zeros(5, 3, 2);
    for (int h = 0; h < 3; h++) {
      for (int i = 0; i < 5; i++) {
        System.arraycopy(first.data(), (h * 5 + i) * 2, after.data(), (i * 3 + h) * 2, 2);
      }
    }
    Path hnd = folder.resolve("hnd.safetensors");
    Path nhd = folder.resolve("nhd.safetensors");
    new TensorFileWriter().add("q", first).add("k", first).add("v", first).writeSafeTensors(hnd);
    new TensorFileWriter().add("q", after).add("k", after).add("v", after).writeSafeTensors(nhd);
    List<String> names = List.of("q", "k", "v");
    InputSource straight = InputSource.parse(FileInput.label(hnd, names, 0, List.of(2, 0)));
    InputSource turned = InputSource.parse(FileInput.label(nhd, names, 0, List.of(2, 0), "nhd"));
    AttentionShape shape = straight.shapeFor(ANY.withSeqLens(4, 4));
    assertEquals(shape, turned.shapeFor(ANY.withSeqLens(4, 4)));
    assertArrayEquals(
        straight.load(shape, 0).get("q").data(), turned.load(shape, 0).get("q").data());
    assertEquals(turned.label(), InputSource.parse(turned.label()).label());
    assertEquals("", straight.doubt() + turned.doubt());
  }

  @Test
  void faultsOfAFileAreOneLineNamingIt() throws IOException {
    Path random = folder.resolve("random.safetensors");
    byte[] bytes = new byte[1000];
    new Random(3).nextBytes(bytes);
    Files.write(random, bytes);
    assertFault(random, FileInput.label(random, List.of("q", "k", "v"), 0, List.of()));
    Path absent = folder.resolve("absent.safetensors");
    assertFault(absent, FileInput.label(absent, List.of("q", "k", "v"), 0, List.of()));
    Path odd = folder.resolve("odd.safetensors");
    write(odd, "q", new int[] {1, 8, 2}, "k", new int[] {1, 8, 3}, "v", new int[] {1, 8, 3});
    assertFault(odd, FileInput.label(odd, List.of("q", "k", "v"), 0, List.of()));
    assertFault(odd, FileInput.label(odd, List.of("q", "nokey", "v"), 0, List.of()));
    assertFault(odd, FileInput.label(odd, List.of("k", "k", "v"), 0, List.of(5)));
    Path shifted = folder.resolve("shifted.safetensors");
    write(shifted, "q", new int[] {1, 7, 2}, "k", new int[] {1, 8, 2}, "v", new int[] {1, 8, 2});
    assertFault(shifted, FileInput.label(shifted, List.of("q", "k", "v"), 0, List.of()));
  }

  /// Every output and error that depends on such a number would be NaN, which no chart can show.
  @ParameterizedTest
  @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
  void numberThatIsNotFiniteIsRefusedWithItsPlace(float number) throws IOException {
    Path file = folder.resolve("nan.safetensors");
    Tensor key = Tensor.zeros(2, 8, 3);
    key.data()[8 * 3 + 5 * 3 + 1] = number;
    new TensorFileWriter()
        .add("q", Tensor.zeros(2, 8, 3))
        .add("k", key)
        .add("v", Tensor.zeros(2, 8, 3))
        .writeSafeTensors(file);
    IOException fault = fault(FileInput.label(file, List.of("q", "k", "v"), 0, List.of()));
    assertEquals(
        file + ": k must be finite numbers, but was " + number + " at head 1, position 5",
        fault.getMessage());
    InputSource other =
        InputSource.parse(FileInput.label(file, List.of("q", "k", "v"), 0, List.of(0)));
    assertEquals(1, other.shapeFor(ANY.withSeqLens(8, 8)).numHeads(), "the other head is sound");
  }

  @Test
  void integersAreNoQueries() throws IOException {
    Path file = folder.resolve("tokens.safetensors");
    new TensorFileWriter()
        .add("q", DType.I32, new int[64], 1, 8, 8)
        .add("k", Tensor.zeros(1, 8, 8))
        .add("v", Tensor.zeros(1, 8, 8))
        .writeSafeTensors(file);
    IOException fault = fault(FileInput.label(file, List.of("q", "k", "v"), 0, List.of()));
    assertEquals(file + ": q must hold floating-point numbers, but was I32", fault.getMessage());
  }

  private static IOException fault(String label) {
    return assertThrows(IOException.class, () -> InputSource.parse(label).shapeFor(ANY), label);
  }

  private static void assertFault(Path file, String label) {
    IOException fault =
        assertThrows(IOException.class, () -> InputSource.parse(label).shapeFor(ANY), label);
    assertTrue(fault.getMessage().startsWith(file.toString()), fault.getMessage());
    assertEquals(1, fault.getMessage().lines().count());
  }

  private static String refusal(String label) {
    return assertThrows(IllegalArgumentException.class, () -> InputSource.parse(label))
        .getMessage();
  }

  /// Writes F32 tensors whose elements count up from 0; arguments are names and shapes in turn.
  private static void write(Path file, Object... namesAndShapes) throws IOException {
    StringBuilder header = new StringBuilder("{");
    int offset = 0;
    int[] sizes = new int[namesAndShapes.length / 2];
    for (int t = 0; t < sizes.length; t++) {
      int[] shape = (int[]) namesAndShapes[2 * t + 1];
      sizes[t] = Tensor.sizeOf(shape);
      header.append(t == 0 ? "" : ",").append('"').append(namesAndShapes[2 * t]);
      header.append("\":{\"dtype\":\"F32\",\"shape\":").append(Arrays.toString(shape));
      header.append(",\"data_offsets\":[").append(offset).append(',');
      offset += 4 * sizes[t];
      header.append(offset).append("]}");
    }
    byte[] json = header.append('}').toString().getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes = ByteBuffer.allocate(8 + json.length + offset).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(json.length).put(json);
    for (int size : sizes) {
      for (int i = 0; i < size; i++) {
        bytes.putFloat(i);
      }
    }
    Files.write(file, bytes.array());
  }
}
