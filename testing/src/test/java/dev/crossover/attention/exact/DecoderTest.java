// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.ScoreOptions.SinkPositions;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// Decoding behind the façade: every way of cutting a text into calls gives what plain loops in
/// double precision give for the whole.
class DecoderTest {
  private static final int HEADS = 4;
  private static final int KEY_HEADS = 2;
  private static final int DIM = 16;
  private static final int VALUE_DIM = 12;

  /// A few roundings of outputs of order 1: scores of at most 20 whose exponentials carry an error
  /// of 20 · 2⁻²³, and sums of up to 700 terms.
  private static final double TOLERANCE = 3e-5;

  private static ExactAttentionBuilder plain() {
    return ExactAttention.builder()
        .heads(HEADS)
        .keyValueHeads(KEY_HEADS)
        .headDim(DIM)
        .valueDim(VALUE_DIM);
  }

  private static Map<String, UnaryOperator<ExactAttentionBuilder>> options() {
    Map<String, UnaryOperator<ExactAttentionBuilder>> all = new LinkedHashMap<>();
    all.put("none", b -> b);
    all.put("scale", b -> b.scale(0.5));
    all.put("rope half", b -> b.rope(Rope.HALF, 100).ropeDim(8).ropeOffset(3));
    all.put("rope interleaved", b -> b.rope(Rope.INTERLEAVED, 10000));
    all.put(
        "rope frequencies",
        b ->
            b.rope(Rope.HALF, 1)
                .ropeFrequencies(new float[] {1, .3f, .1f, .03f, .01f, .003f, .001f, 0}, 1.2));
    all.put("norm", b -> b.qkNorm(QkNorm.RMS, 1e-6));
    all.put(
        "norm with weights",
        b -> b.qkNorm(QkNorm.LAYER, 1e-5).qkNormWeights(weights(1), weights(2)));
    all.put("softcap", b -> b.softcap(2));
    all.put("alibi", b -> b.alibi(AlibiForm.DISTANCE));
    all.put("slopes", b -> b.alibi(AlibiForm.SIGNED, new float[] {.5f, .1f, 0, -.01f}));
    all.put("window", b -> b.window(7));
    all.put("window and sinks", b -> b.window(9).sinkTokens(3, SinkPositions.ORIGINAL));
    all.put(
        "sinks in the cache",
        b ->
            b.window(5)
                .sinkTokens(2, SinkPositions.CACHE)
                .rope(Rope.HALF, 100)
                .alibi(AlibiForm.DISTANCE));
    all.put("sink logit", b -> b.sinkLogit(new float[] {-40, 0, 2, 5}));
    all.put("gate", b -> b.outputGate(false));
    all.put("gate per head", b -> b.outputGate(true));
    all.put(
        "together",
        b ->
            b.qkNorm(QkNorm.L2, 1e-6)
                .scale(4)
                .rope(Rope.HALF, 500)
                .softcap(3)
                .alibi(AlibiForm.DISTANCE)
                .window(33)
                .sinkTokens(4, SinkPositions.CACHE)
                .sinkLogit(new float[] {0, 1, 0, -1})
                .outputGate(false));
    return all;
  }

  private static float[] weights(long seed) {
    return Draws.uniform(seed, 0.5, 1.5, DIM).data();
  }

  private static Tensors draw(ExactAttention attention, int sequences, int n, long seed) {
    Tensors all =
        Tensors.qkv(
            Draws.gaussian(seed, sequences, HEADS, n, DIM),
            Draws.gaussian(seed + 1, sequences, KEY_HEADS, n, DIM),
            Draws.gaussian(seed + 2, sequences, KEY_HEADS, n, VALUE_DIM));
    if (attention.gated()) {
      int width = attention.mechanism().gatePerHead() ? 1 : VALUE_DIM;
      all = all.with("output_gate", Draws.gaussian(seed + 3, sequences, HEADS, n, width));
    }
    return all;
  }

  private static double[] expected(ExactAttention attention, Tensors whole) {
    AttentionShape shape = attention.mechanism().shapeOf(whole);
    return NaiveScores.out(
        attention.mechanism(), shape, Mask.causal(), attention.withParameters(whole));
  }

  /// Tokens `from … to - 1` of `[sequences, heads, n, width]` tensors.
  private static Tensors slice(Tensors whole, int from, int to) {
    Tensors some = Tensors.NONE;
    for (int i = 0; i < whole.size(); i++) {
      Tensor all = whole.tensor(i);
      int width = all.extent(3);
      Tensor part = Tensor.zeros(all.extent(0), all.extent(1), to - from, width);
      for (int h = 0; h < all.extent(0) * all.extent(1); h++) {
        System.arraycopy(
            all.data(),
            (h * all.extent(2) + from) * width,
            part.data(),
            h * (to - from) * width,
            (to - from) * width);
      }
      some = some.with(whole.name(i), part);
    }
    return some;
  }

  /// Appends tokens cut at the given places and compares every output.
  private static void compare(
      String what, ExactAttention attention, Tensors whole, int sequences, int... cuts) {
    int n = whole.get("q").extent(2);
    double[] expected = expected(attention, whole);
    Decoder decoder = attention.decoder(sequences, 8);
    int from = 0;
    for (int c = 0; c <= cuts.length; c++) {
      int to = c == cuts.length ? n : cuts[c];
      Tensor out = Tensor.zeros(sequences, HEADS, to - from, VALUE_DIM);
      decoder.append(slice(whole, from, to), out);
      for (int h = 0; h < sequences * HEADS; h++) {
        for (int e = 0; e < (to - from) * VALUE_DIM; e++) {
          assertEquals(
              expected[(h * n + from) * VALUE_DIM + e],
              out.data()[h * (to - from) * VALUE_DIM + e],
              TOLERANCE,
              what + ", tokens from " + from + " to " + to);
        }
      }
      from = to;
    }
    assertEquals(n, decoder.position(0));
  }

  @Test
  void tokenByTokenInPiecesAndAtOnceAgreeWithPlainLoops() {
    options()
        .forEach(
            (name, option) -> {
              ExactAttention attention = option.apply(plain()).build();
              Tensors whole = draw(attention, 1, 40, 5);
              compare(name, attention, whole, 1, IntSeries.upTo(40));
              compare(name, attention, whole, 1);
              compare(name, attention, whole, 1, 1, 2, 21, 22, 39);
            });
  }

  /// Windows, sinks, pieces of 64 and the places where old positions are dropped all have borders;
  /// the calls cross each of them at every offset.
  @Test
  void windowsCrossEveryBorder() {
    for (int window : new int[] {1, 2, 63, 64, 65, 300}) {
      for (int sinks : new int[] {0, 1, 5}) {
        ExactAttention attention =
            plain().window(window).sinkTokens(sinks, SinkPositions.ORIGINAL).build();
        Tensors whole = draw(attention, 2, 400, 11);
        String what = "window " + window + ", sinks " + sinks;
        compare(what, attention, whole, 2, 3, 66, 67, 131, 132, 133, 260, 261, 329, 399);
        compare(what, attention, whole, 2, 200, 201, 202, 330, 331);
      }
    }
  }

  @Test
  void aWindowKeepsWhatItReachesAndNoMore() {
    ExactAttention attention = plain().window(100).sinkTokens(4, SinkPositions.ORIGINAL).build();
    Decoder decoder = attention.decoder(1, 2000);
    Tensors whole = draw(attention, 1, 2000, 3);
    decoder.append(whole, Tensor.zeros(1, HEADS, 2000, VALUE_DIM));
    long rows = decoder.stateBytes() / (KEY_HEADS * (DIM + VALUE_DIM) * Float.BYTES);
    assertTrue(rows >= 103 && rows <= 4 + 100 + 64 + 64, "rows kept: " + rows);
  }

  @Test
  void sequencesOfDifferentLengthsShareCalls() {
    ExactAttention attention =
        plain().rope(Rope.HALF, 100).window(20).outputGate(false).threads(2).build();
    int[] lengths = {30, 1, 75, 12};
    int[][] calls = {{0, 1, 70, 1}, {29, 0, 1, 0}, {1, 0, 1, 10}, {0, 0, 3, 1}};
    Decoder together = attention.decoder(4, 16);
    List<Tensors> wholes = new ArrayList<>();
    for (int s = 0; s < 4; s++) {
      wholes.add(draw(attention, 1, lengths[s], 100 + 10 * s));
    }
    int[] done = new int[4];
    for (int[] counts : calls) {
      int all = Arrays.stream(counts).sum();
      Tensors packed = Tensors.NONE;
      for (String name : wholes.getFirst().names()) {
        Tensor some = wholes.getFirst().get(name);
        Tensor rows = Tensor.zeros(all, some.extent(1), some.extent(3));
        int at = 0;
        for (int s = 0; s < 4; s++) {
          for (int t = 0; t < counts[s]; t++, at++) {
            copyToken(wholes.get(s).get(name), done[s] + t, rows, at);
          }
        }
        packed = packed.with(name, rows);
      }
      Tensor out = Tensor.zeros(all, HEADS, VALUE_DIM);
      together.append(counts, packed, out);
      int at = 0;
      for (int s = 0; s < 4; s++) {
        double[] expected = expected(attention, wholes.get(s));
        for (int t = 0; t < counts[s]; t++, at++) {
          for (int h = 0; h < HEADS; h++) {
            for (int c = 0; c < VALUE_DIM; c++) {
              assertEquals(
                  expected[(h * lengths[s] + done[s] + t) * VALUE_DIM + c],
                  out.data()[(at * HEADS + h) * VALUE_DIM + c],
                  TOLERANCE,
                  "sequence " + s + ", token " + (done[s] + t));
            }
          }
        }
        done[s] += counts[s];
      }
    }
    for (int s = 0; s < 4; s++) {
      assertEquals(lengths[s], together.position(s));
    }
  }

  private static void copyToken(Tensor whole, int token, Tensor packed, int at) {
    int heads = whole.extent(1);
    int width = whole.extent(3);
    for (int h = 0; h < heads; h++) {
      System.arraycopy(
          whole.data(),
          (h * whole.extent(2) + token) * width,
          packed.data(),
          (at * heads + h) * width,
          width);
    }
  }

  @Test
  void forksGrowApartAndTruncatedOnesComeBack() {
    for (Storage storage : List.of(Storage.F32, Storage.INT8_ROW)) {
      ExactAttention attention = plain().window(50).storage(storage).build();
      Tensors whole = draw(attention, 1, 300, 21);
      Tensors other = draw(attention, 1, 300, 31);
      Decoder decoder = attention.decoder(1, 16);
      decoder.append(slice(whole, 0, 250), Tensor.zeros(1, HEADS, 250, VALUE_DIM));
      Decoder fork = decoder.fork();
      Decoder three = decoder.fork(0, 0, 0);
      float[] straight = step(decoder, slice(whole, 250, 251));
      step(fork, slice(other, 250, 251));
      step(fork, slice(other, 251, 252));
      fork.truncate(250);
      assertArrayEquals(straight, step(fork, slice(whole, 250, 251)), storage.toString());
      assertEquals(251, fork.position(0));
      Tensors twice = Tensors.NONE;
      for (int i = 0; i < whole.size(); i++) {
        Tensor one = slice(whole, 250, 251).tensor(i);
        float[] copies = new float[3 * one.size()];
        for (int c = 0; c < 3; c++) {
          System.arraycopy(one.data(), 0, copies, c * one.size(), one.size());
        }
        twice = twice.with(whole.name(i), Tensor.of(copies, 3, one.extent(1), 1, one.extent(3)));
      }
      Tensor out = Tensor.zeros(3, HEADS, 1, VALUE_DIM);
      three.append(twice, out);
      for (int c = 0; c < 3; c++) {
        int size = HEADS * VALUE_DIM;
        assertArrayEquals(straight, Arrays.copyOfRange(out.data(), c * size, (c + 1) * size));
      }
      assertThrows(IllegalStateException.class, () -> decoder.truncate(60));
      assertThrows(IllegalArgumentException.class, () -> decoder.truncate(0, 252));
      decoder.truncate(251 - 64);
      step(decoder, slice(whole, 187, 188));
      decoder.truncate(0);
      assertEquals(0, decoder.position(0));
      assertEquals(0, decoder.stateBytes());
    }
  }

  private static float[] step(Decoder decoder, Tensors token) {
    Tensor out = Tensor.zeros(1, HEADS, 1, VALUE_DIM);
    decoder.append(token, out);
    return out.data();
  }

  /// What is stored decides, and only that: the same numbers, rounded beforehand, in floats.
  @Test
  void storesThatRoundGiveTheOutputsOfRoundedNumbers() {
    ExactAttention half = plain().storage(Storage.F16).rope(Rope.NONE, 1).build();
    ExactAttention exact = plain().build();
    Tensors whole = draw(half, 1, 90, 41);
    Tensors rounded = Tensors.NONE;
    for (int i = 0; i < whole.size(); i++) {
      Tensor copy = whole.tensor(i).copy();
      for (int e = 0; e < copy.size() && !whole.name(i).equals("q"); e++) {
        copy.data()[e] = Float.float16ToFloat(Float.floatToFloat16(copy.data()[e]));
      }
      rounded = rounded.with(whole.name(i), copy);
    }
    Decoder first = half.decoder(1, 90);
    Decoder second = exact.decoder(1, 90);
    for (int t = 0; t < 90; t++) {
      assertArrayEquals(
          step(second, slice(rounded, t, t + 1)), step(first, slice(whole, t, t + 1)));
    }
    assertEquals(second.stateBytes(), 2 * first.stateBytes());
  }

  /// Grouped storage encodes by the newest token, so pieces must be cut there.
  @Test
  void groupedStorageDoesNotCareHowTokensArrive() {
    ExactAttention attention = plain().storage(Storage.grouped(4, 4, 8)).window(30).build();
    Tensors whole = draw(attention, 1, 70, 51);
    Decoder one = attention.decoder(1, 70);
    Decoder many = attention.decoder(1, 70);
    float[] tokens = new float[69 * HEADS * VALUE_DIM];
    step(many, slice(whole, 0, 1));
    step(one, slice(whole, 0, 1));
    Tensor out = Tensor.zeros(1, HEADS, 69, VALUE_DIM);
    many.append(slice(whole, 1, 70), out);
    for (int t = 1; t < 70; t++) {
      float[] token = step(one, slice(whole, t, t + 1));
      for (int h = 0; h < HEADS; h++) {
        System.arraycopy(token, h * VALUE_DIM, tokens, (h * 69 + t - 1) * VALUE_DIM, VALUE_DIM);
      }
    }
    assertArrayEquals(tokens, out.data());
    assertThrows(IllegalStateException.class, () -> one.truncate(10));
  }

  @Test
  void threadsAndExecutorsChangeNoBit() {
    ExecutorService pool = Executors.newFixedThreadPool(3);
    try {
      List<ExactAttention> same =
          List.of(
              plain().window(40).build(),
              plain().window(40).threads(3).build(),
              plain().window(40).threads(3).executor(pool).build(),
              plain().window(40).threads(4).executor(Runnable::run).build(),
              plain()
                  .window(40)
                  .threads(4)
                  .executor(
                      _ -> {
                        throw new RejectedExecutionException("full");
                      })
                  .build());
      Tensors whole = draw(same.getFirst(), 1, 150, 61);
      List<float[]> outputs = new ArrayList<>();
      for (ExactAttention attention : same) {
        Decoder decoder = attention.decoder(1, 4);
        Tensor first = Tensor.zeros(1, HEADS, 80, VALUE_DIM);
        decoder.append(slice(whole, 0, 80), first);
        Tensor rest = Tensor.zeros(1, HEADS, 70, VALUE_DIM);
        decoder.append(slice(whole, 80, 150), rest);
        float[] both = Arrays.copyOf(first.data(), first.size() + rest.size());
        System.arraycopy(rest.data(), 0, both, first.size(), rest.size());
        outputs.add(both);
        Tensor at = attention.attend(whole.get("q"), whole.get("k"), whole.get("v"));
        assertArrayEquals(
            same.getFirst().attend(whole.get("q"), whole.get("k"), whole.get("v")).data(),
            at.data());
      }
      for (float[] output : outputs) {
        assertArrayEquals(outputs.getFirst(), output);
      }
    } finally {
      pool.shutdownNow();
    }
  }

  /// A key or value that a query does not see may hold anything.
  @Test
  void nothingComesBackFromLaterTokens() {
    ExactAttention attention = plain().build();
    Tensors whole = draw(attention, 1, 80, 71);
    double[] expected = expected(attention, whole);
    for (String name : List.of("k", "v")) {
      Tensor poisoned = whole.get(name).copy();
      int width = poisoned.extent(3);
      for (int h = 0; h < KEY_HEADS; h++) {
        Arrays.fill(poisoned.data(), (h * 80 + 60) * width, (h * 80 + 80) * width, Float.NaN);
      }
      Decoder decoder = attention.decoder(1, 80);
      Tensors all = whole.with(name, poisoned);
      decoder.append(slice(all, 0, 20), Tensor.zeros(1, HEADS, 20, VALUE_DIM));
      Tensor out = Tensor.zeros(1, HEADS, 60, VALUE_DIM);
      decoder.append(slice(all, 20, 80), out);
      for (int h = 0; h < HEADS; h++) {
        for (int e = 0; e < 40 * VALUE_DIM; e++) {
          assertEquals(
              expected[(h * 80 + 20) * VALUE_DIM + e],
              out.data()[h * 60 * VALUE_DIM + e],
              TOLERANCE,
              name);
        }
        assertTrue(Float.isNaN(out.data()[(h * 60 + 59) * VALUE_DIM]), name);
      }
    }
  }

  @Test
  void aSteadyTokenAllocatesNothing() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (Storage storage : List.of(Storage.F32, Storage.BF16, Storage.INT8_ROW)) {
      ExactAttention attention = plain().rope(Rope.HALF, 100).window(30).storage(storage).build();
      Decoder decoder = attention.decoder(2, 400);
      Tensors whole = draw(attention, 2, 50, 81);
      List<Tensors> tokens = new ArrayList<>();
      for (int t = 0; t < 50; t++) {
        tokens.add(slice(whole, t, t + 1));
      }
      int quiet = 0;
      // the compiler needs some thousands of tokens; a step that allocates never stops
      for (int round = 0; round < 400 && quiet < 3; round++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int t = 0; t < tokens.size(); t++) {
          Tensors token = tokens.get(t);
          decoder.append(token.get("q"), token.get("k"), token.get("v"));
        }
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        quiet = allocated == 0 ? quiet + 1 : 0;
        LockSupport.parkNanos(quiet == 0 ? 2_000_000 : 0);
      }
      assertEquals(3, quiet, storage.toString());
    }
  }

  @Test
  void whatDoesNotFitIsRefusedByName() {
    refused("heads", () -> ExactAttention.builder().headDim(8).build());
    refused("numKeyValueHeads", () -> plain().keyValueHeads(3).build());
    refused("group_size", () -> plain().storage(Storage.grouped(4, 8, 8)).build());
    refused("sink_logit", () -> plain().sinkLogit(new float[3]).build());
    refused("causal", () -> plain().causal(false).build().decoder(1, 1));
    Decoder decoder = plain().build().decoder(2, 4);
    Tensors token = draw(plain().build(), 2, 1, 1);
    refused("k", () -> decoder.append(token.get("q"), token.get("q"), token.get("v")));
    refused("counts", () -> decoder.append(new int[3], token, Tensor.zeros(0)));
    refused("counts", () -> decoder.append(new int[] {1, -1}, token, Tensor.zeros(0)));
    refused("tensors", () -> decoder.append(token.with("bias", token.get("q")), token.get("q")));
    refused("sequence", () -> decoder.fork(2));
    Decoder gated = plain().outputGate(true).build().decoder(2, 4);
    refused("output_gate", () -> gated.append(token.get("q"), token.get("k"), token.get("v")));
  }

  private static void refused(String name, Executable call) {
    String message =
        String.valueOf(assertThrows(IllegalArgumentException.class, call).getMessage());
    assertTrue(message.contains(name), message);
  }

  /// 1, 2, … below a number.
  private static final class IntSeries {
    static int[] upTo(int end) {
      int[] cuts = new int[end - 1];
      Arrays.setAll(cuts, i -> i + 1);
      return cuts;
    }
  }
}
