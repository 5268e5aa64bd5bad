// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.StridedView;
import dev.crossover.attention.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.Test;

/// Whole and packed sequences behind the façade, with gradients.
class ExactAttentionTest {
  private static final int HEADS = 4;
  private static final int KEY_HEADS = 2;
  private static final int DIM = 8;
  private static final double TOLERANCE = 3e-5;

  private static ExactAttentionBuilder plain() {
    return ExactAttention.builder().heads(HEADS).keyValueHeads(KEY_HEADS).headDim(DIM);
  }

  private static ExactAttention rich() {
    return plain()
        .qkNorm(QkNorm.RMS, 1e-6)
        .qkNormWeights(
            Draws.uniform(1, 0.5, 1.5, DIM).data(), Draws.uniform(2, 0.5, 1.5, DIM).data())
        .rope(Rope.INTERLEAVED, 100)
        .softcap(4)
        .alibi(AlibiForm.DISTANCE, new float[] {.3f, .1f, .05f, 0})
        .window(6)
        .sinkLogit(new float[] {0, 1, -1, .5f})
        .outputGate(false)
        .threads(2)
        .build();
  }

  private static Tensors draw(int batch, int nq, int nk, long seed) {
    return Tensors.qkv(
        Draws.gaussian(seed, batch, HEADS, nq, DIM),
        Draws.gaussian(seed + 1, batch, KEY_HEADS, nk, DIM),
        Draws.gaussian(seed + 2, batch, KEY_HEADS, nk, DIM));
  }

  private static void compare(ExactAttention attention, Mask mask, Tensors whole, Tensor out) {
    AttentionShape shape = attention.mechanism().shapeOf(whole);
    double[] expected =
        NaiveScores.out(attention.mechanism(), shape, mask, attention.withParameters(whole));
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], out.data()[i], TOLERANCE);
    }
  }

  @Test
  void wholeSequencesAreThoseOfPlainLoops() {
    Tensors equal = draw(2, 20, 20, 3);
    compare(
        plain().build(),
        Mask.causal(),
        equal,
        plain().build().attend(equal.get("q"), equal.get("k"), equal.get("v")));
    Tensors cross = draw(2, 5, 20, 3);
    compare(
        plain().causal(false).build(),
        Mask.none(),
        cross,
        plain().causal(false).build().attend(cross));
    compare(
        plain().build(),
        Mask.both(Mask.causal(), Mask.lengths(20, 7, 0)),
        equal,
        plain().build().attend(equal, 7, 0));
    Tensors gated = equal.with("output_gate", Draws.gaussian(9, 2, HEADS, 20, DIM));
    compare(rich(), Mask.causal(), gated, rich().attend(gated));
  }

  private static Tensor pack(Tensor whole) {
    int heads = whole.extent(1);
    int n = whole.extent(2);
    int width = whole.extent(3);
    Tensor packed = Tensor.zeros(n, heads, width);
    for (int row = 0; row < heads * n; row++) {
      int at = (row % n * heads + row / n) * width;
      System.arraycopy(whole.data(), row * width, packed.data(), at, width);
    }
    return packed;
  }

  private static Tensor rows(Tensor packed, int from, int to) {
    int width = packed.extent(1) * packed.extent(2);
    return Tensor.of(
        Arrays.copyOfRange(packed.data(), from * width, to * width),
        to - from,
        packed.extent(1),
        packed.extent(2));
  }

  private static Tensor joined(List<Tensor> parts) {
    int rows = parts.stream().mapToInt(part -> part.extent(0)).sum();
    Tensor first = parts.getFirst();
    Tensor all = Tensor.zeros(rows, first.extent(1), first.extent(2));
    int at = 0;
    for (Tensor part : parts) {
      System.arraycopy(part.data(), 0, all.data(), at, part.size());
      at += part.size();
    }
    return all;
  }

  @Test
  void packedSequencesHaveTheBitsOfTheirOwnPlansAndGradients() {
    ExactAttention attention = rich();
    int[] queries = {3, 0, 9, 9, 1};
    int[] keys = {5, 4, 9, 9, 0};
    Tensors all = Tensors.NONE;
    for (String name : List.of("q", "k", "v", "output_gate")) {
      List<Tensor> parts = new ArrayList<>();
      for (int s = 0; s < 5; s++) {
        parts.add(pack(sequence(s, queries[s], keys[s]).get(name)));
      }
      all = all.with(name, joined(parts));
    }
    int[] queryOffsets = {0, 3, 3, 12, 21, 22};
    int[] keyOffsets = {0, 5, 9, 18, 27, 27};
    PackedAttention packed = attention.packedDifferentiable(queryOffsets, keyOffsets);
    Tensor out = Tensor.zeros(22, HEADS, DIM);
    packed.forward(all, out);
    Tensor gradOut = Draws.gaussian(77, 22, HEADS, DIM);
    Tensors gradients = Tensors.NONE;
    for (String name : all.names()) {
      gradients = gradients.with("grad_" + name, Tensor.zeros(all.get(name).shape()));
    }
    gradients = gradients.with("grad_sink_logit", Tensor.zeros(HEADS));
    packed.backward(gradOut, gradients);

    float[] sinks = new float[HEADS];
    for (int s = 0; s < 5; s++) {
      if (queries[s] == 0) {
        continue;
      }
      DifferentiablePlan plan = attention.differentiable(1, queries[s], keys[s]);
      Tensors own = sequence(s, queries[s], keys[s]);
      Tensor answer = Tensor.zeros(1, HEADS, queries[s], DIM);
      plan.forward(attention.withParameters(own), answer);
      int from = queryOffsets[s];
      int to = queryOffsets[s + 1];
      assertArrayEquals(pack(answer).data(), rows(out, from, to).data(), "sequence " + s);
      Tensor gradient = Tensor.zeros(1, HEADS, queries[s], DIM);
      Tensor part = rows(gradOut, from, to);
      for (int row = 0; row < HEADS * queries[s]; row++) {
        int at = (row % queries[s] * HEADS + row / queries[s]) * DIM;
        System.arraycopy(part.data(), at, gradient.data(), row * DIM, DIM);
      }
      Tensors places = Tensors.NONE.with("grad_sink_logit", Tensor.zeros(HEADS));
      for (String name : own.names()) {
        places = places.with("grad_" + name, Tensor.zeros(own.get(name).shape()));
      }
      plan.backward(gradient, places);
      for (String name : own.names()) {
        int[] offsets = name.equals("k") || name.equals("v") ? keyOffsets : queryOffsets;
        assertArrayEquals(
            pack(places.get("grad_" + name)).data(),
            rows(gradients.get("grad_" + name), offsets[s], offsets[s + 1]).data(),
            name + " of sequence " + s);
      }
      for (int h = 0; h < HEADS; h++) {
        sinks[h] += places.get("grad_sink_logit").data()[h];
      }
    }
    assertArrayEquals(sinks, gradients.get("grad_sink_logit").data(), 1e-6f);
    Tensor again = Tensor.zeros(22, HEADS, DIM);
    attention.packed(queryOffsets, keyOffsets).forward(all, again);
    assertArrayEquals(out.data(), again.data());
  }

  private static Tensors sequence(int s, int nq, int nk) {
    return draw(1, nq, nk, 10 * s)
        .with("output_gate", Draws.gaussian(10 * s + 5, 1, HEADS, nq, DIM));
  }

  @Test
  void anExecutorChangesNoBitOfPlansAndGradients() {
    ExecutorService pool = Executors.newFixedThreadPool(2);
    try {
      Tensors whole = draw(1, 300, 300, 3);
      Tensor gradOut = Draws.gaussian(8, 1, HEADS, 300, DIM);
      float[][] found = new float[4][];
      ExactAttention[] same = {
        plain().build(), plain().threads(3).executor(pool).build(),
      };
      for (int i = 0; i < 2; i++) {
        DifferentiablePlan plan = same[i].differentiable(1, 300, 300);
        Tensor out = Tensor.zeros(1, HEADS, 300, DIM);
        Tensor gradient = Tensor.zeros(1, KEY_HEADS, 300, DIM);
        plan.forward(whole, out);
        plan.backward(gradOut, Tensors.NONE.with("grad_k", gradient));
        found[2 * i] = out.data();
        found[2 * i + 1] = gradient.data();
      }
      assertArrayEquals(found[0], found[2]);
      assertArrayEquals(found[1], found[3]);
    } finally {
      pool.shutdownNow();
    }
  }

  @Test
  void nativeMemoryAndStridesAreCopiedIn() {
    int n = 12;
    Tensor packed = Draws.gaussian(5, n, HEADS * DIM);
    int[] shape = {1, HEADS, n, DIM};
    long[] strides = {0, DIM, HEADS * DIM, 1};
    Tensor heads = StridedView.of(packed.data(), 0, shape, strides).toTensor();
    for (int h = 0; h < HEADS; h++) {
      for (int t = 0; t < n; t++) {
        for (int c = 0; c < DIM; c++) {
          assertEquals(
              packed.data()[t * HEADS * DIM + h * DIM + c], heads.data()[(h * n + t) * DIM + c]);
        }
      }
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(2L * packed.size() + 2);
      for (int i = 0; i < packed.size(); i++) {
        bytes.set(
            ValueLayout.JAVA_SHORT_UNALIGNED, 2L + 2 * i, Float.floatToFloat16(packed.data()[i]));
      }
      Tensor half = StridedView.of(bytes, DType.F16, 1, shape, strides).toTensor();
      for (int i = 0; i < half.size(); i++) {
        assertEquals(Float.float16ToFloat(Float.floatToFloat16(heads.data()[i])), half.data()[i]);
      }
      MemorySegment floats = arena.allocate(4L * packed.size());
      MemorySegment.copy(packed.data(), 0, floats, ValueLayout.JAVA_FLOAT, 0, packed.size());
      assertArrayEquals(
          heads.data(), StridedView.of(floats, DType.F32, 0, shape, strides).toTensor().data());
      assertArrayEquals(
          packed.data(), StridedView.of(floats, DType.F32, n, HEADS * DIM).toTensor().data());
    }
    Tensor turned =
        StridedView.of(new float[] {1, 2, 3}, 2, new int[] {3}, new long[] {-1}).toTensor();
    assertArrayEquals(new float[] {3, 2, 1}, turned.data());
    String message =
        String.valueOf(
            assertThrows(
                    IllegalArgumentException.class,
                    () -> StridedView.of(new float[3], 1, new int[] {3}, new long[] {1}))
                .getMessage());
    assertTrue(message.contains("elements must lie"), message);
  }

  @Test
  void wrongOffsetsAreRefusedByName() {
    ExactAttention attention = plain().build();
    for (int[] offsets : new int[][] {{}, {1, 2}, {0, 3, 2}}) {
      String message =
          String.valueOf(
              assertThrows(IllegalArgumentException.class, () -> attention.packed(offsets))
                  .getMessage());
      assertTrue(message.contains("queryOffsets"), message);
    }
    PackedAttention packed = attention.packed(0, 2, 5);
    Tensor rows = Tensor.zeros(5, HEADS, DIM);
    assertThrows(UnsupportedOperationException.class, () -> packed.backward(rows, Tensors.NONE));
    String message =
        String.valueOf(
            assertThrows(IllegalArgumentException.class, () -> packed.attend(rows, rows, rows))
                .getMessage());
    assertTrue(message.contains("k must have shape"), message);
  }
}
