// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.conformance.GoldenFile;
import dev.crossover.attention.kernel.ScoreTerm;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import java.nio.file.Path;
import java.util.OptionalDouble;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// The backward pass of exact attention.
class TiledGradientTest {

  @Test
  void goldenGradientsAreReproduced() throws Exception {
    int files = 0;
    for (Path path : GoldenTests.files("softmax")) {
      GoldenFile golden = GoldenFile.read(path);
      if (golden.gradients().isEmpty()) {
        continue;
      }
      files++;
      SafeTensors file = SafeTensors.open(path);
      Tensors inputs = golden.inputs();
      String scale = golden.parameters().get("scale");
      Tiled tiled =
          new Tiled(
              scale == null
                  ? OptionalDouble.empty()
                  : OptionalDouble.of(Double.parseDouble(scale)));
      AttentionShape shape = tiled.shapeOf(inputs);
      Tensors gradients = backward(tiled, shape, golden.mask(), inputs, file.tensor("grad_out"), 2);
      for (String name : gradients.names()) {
        double[] expected = file.doubles(name);
        for (int i = 0; i < expected.length; i++) {
          assertWithin(
              expected[i],
              gradients.get(name).data()[i],
              2e-6 + 2e-5 * Math.abs(expected[i]),
              golden.caseName() + " " + name + "[" + i + "]");
        }
      }
    }
    assertTrue(files >= 2, "gradient files found: " + files);
  }

  @Test
  void gradientsAgreeWithCentralDifferencesOfTheOracle() {
    AttentionShape shape = new AttentionShape(1, 2, 1, 9, 11, 5, 5, 7);
    for (Mask mask :
        new Mask[] {Mask.none(), Mask.causal(), Mask.causal(-3), Mask.lengths(11, 6)}) {
      Tensors inputs = inputs(shape, 5);
      Tensor gradOut = Draws.gaussian(6, 1, 2, 9, 7);
      Tensors gradients = backward(new Tiled(), shape, mask, inputs, gradOut, 1);
      for (String name : inputs.names()) {
        Tensor x = inputs.get(name);
        for (int i = 0; i < x.size(); i++) {
          float kept = x.data()[i];
          float step = 1f / 256;
          x.data()[i] = kept + step;
          double above = loss(shape, mask, inputs, gradOut);
          x.data()[i] = kept - step;
          double below = loss(shape, mask, inputs, gradOut);
          double width = (double) (kept + step) - (kept - step);
          x.data()[i] = kept;
          // The truncation error is step²/6 times a third derivative of order 10.
          assertWithin(
              (above - below) / width,
              gradients.get("grad_" + name).data()[i],
              1e-4,
              mask.label() + " " + name + "[" + i + "]");
        }
      }
    }
  }

  @Test
  void anyShapeAgreesWithTheFormulaInDoubles() {
    for (int seed = 0; seed < 60; seed++) {
      Random random = new Random(seed);
      int[] widths = {1, 5, 16, 24, 33, 64};
      int d = widths[random.nextInt(widths.length)];
      int dv = widths[random.nextInt(widths.length)];
      int nq = 1 + random.nextInt(seed % 5 == 0 ? 300 : 40);
      int nk = 1 + random.nextInt(seed % 5 == 0 ? 600 : 60);
      AttentionShape shape = new AttentionShape(2, 2, 1 + seed % 2, nq, nk, d, d, dv);
      boolean[] real = new boolean[2 * nk];
      for (int i = 0; i < real.length; i++) {
        real[i] = random.nextInt(3) > 0;
      }
      Mask mask =
          switch (seed % 3) {
            case 0 -> Mask.none();
            case 1 -> Mask.causal();
            default -> Mask.both(Mask.causal(), Mask.keys(nk, real));
          };
      Tensors inputs = inputs(shape, seed);
      if (seed / 2 % 2 == 0) {
        inputs = inputs.with("bias", Draws.gaussian(seed + 8, 1, 2, nq, nk));
      }
      check(shape, mask, inputs, seed);
    }
  }

  private static void check(AttentionShape s, Mask mask, Tensors inputs, long seed) {
    Tensor gradOut = Draws.gaussian(seed + 9, 2, 2, s.querySeqLen(), s.valueDim());
    Tensors gradients = backward(new Tiled(), s, mask, inputs, gradOut, 2);
    // Sums of at most 600 terms of size 10, each with a relative error of a few 1e-6: 1e-4 is ample
    // for the largest, and a wrong term is of the order of 1e-2.
    check(s, mask, inputs, gradOut, gradients, 1e-4, String.valueOf(seed));
  }

  private static void check(
      AttentionShape s,
      Mask mask,
      Tensors inputs,
      Tensor gradOut,
      Tensors gradients,
      double tolerance,
      String what) {
    Tensor q = inputs.get("q");
    Tensor k = inputs.get("k");
    Tensor v = inputs.get("v");
    double scale = Attention.defaultScale(s);
    double[] gq = new double[q.size()];
    double[] gk = new double[k.size()];
    double[] gv = new double[v.size()];
    double[] gb = new double[2 * s.querySeqLen() * s.keySeqLen()];
    int d = s.headDim();
    int dv = s.valueDim();
    for (int b = 0; b < s.batchSize(); b++) {
      for (int h = 0; h < 2; h++) {
        for (int i = 0; i < s.querySeqLen(); i++) {
          double[] p = new double[s.keySeqLen()];
          double[] dp = new double[s.keySeqLen()];
          double sum = 0;
          double mean = 0;
          int go = s.outputOffset(b, h) + i * dv;
          int row = (h * s.querySeqLen() + i) * s.keySeqLen();
          for (int j = 0; j < p.length; j++) {
            if (Oracle.sees(s, mask, b, i, j)) {
              double bias = inputs.has("bias") ? inputs.get("bias").data()[row + j] : 0;
              p[j] = Math.exp(scale * Oracle.dot(s, q, k, b, h, i, j) + bias);
              sum += p[j];
              for (int c = 0; c < dv; c++) {
                int value = s.valueOffset(b, h) + j * dv + c;
                dp[j] += (double) gradOut.data()[go + c] * v.data()[value];
              }
            }
          }
          for (int j = 0; j < p.length; j++) {
            p[j] = sum == 0 ? 0 : p[j] / sum;
            mean += p[j] * dp[j];
          }
          for (int j = 0; j < p.length; j++) {
            double slope = scale * p[j] * (dp[j] - mean);
            gb[row + j] += slope / scale;
            for (int c = 0; c < d; c++) {
              int qi = s.queryOffset(b, h) + i * d + c;
              int ki = s.keyOffset(b, h) + j * d + c;
              gq[qi] += slope * k.data()[ki];
              gk[ki] += slope * q.data()[qi];
            }
            for (int c = 0; c < dv; c++) {
              gv[s.valueOffset(b, h) + j * dv + c] += p[j] * gradOut.data()[go + c];
            }
          }
        }
      }
    }
    compare(gq, gradients.get("grad_q"), tolerance, what + " grad_q");
    compare(gk, gradients.get("grad_k"), tolerance, what + " grad_k");
    compare(gv, gradients.get("grad_v"), tolerance, what + " grad_v");
    if (inputs.has("bias")) {
      compare(gb, gradients.get("grad_bias"), tolerance, what + " grad_bias");
    }
  }

  private static void compare(double[] expected, Tensor actual, double tolerance, String what) {
    for (int i = 0; i < expected.length; i++) {
      assertWithin(expected[i], actual.data()[i], tolerance, what + "[" + i + "]");
    }
  }

  @Test
  void anyNumberOfThreadsGivesTheSameBits() {
    AttentionShape shape = AttentionShape.of(2, 3, 50, 16);
    Tensors inputs = inputs(shape, 3).with("bias", Draws.gaussian(7, 1, 3, 50, 50));
    Tensor gradOut = Draws.gaussian(4, 2, 3, 50, 16);
    Tensors one = backward(new Tiled(), shape, Mask.causal(), inputs, gradOut, 1);
    Tensors three = backward(new Tiled(), shape, Mask.causal(), inputs, gradOut, 3);
    for (String name : one.names()) {
      assertArrayEquals(one.get(name).data(), three.get(name).data());
    }
  }

  @Test
  void keysOfOneHeadAreSharedAmongThreadsWithTheSameBits() {
    AttentionShape shape = AttentionShape.of(1, 1, 900, 8);
    Tensors inputs = inputs(shape, 3);
    Tensor gradOut = Draws.gaussian(4, 1, 1, 900, 8);
    for (Mask mask : new Mask[] {Mask.causal(), Mask.lengths(900, 300)}) {
      Tensors one = backward(new Tiled(), shape, mask, inputs, gradOut, 1);
      Tensors four = backward(new Tiled(), shape, mask, inputs, gradOut, 4);
      for (String name : one.names()) {
        assertArrayEquals(one.get(name).data(), four.get(name).data());
      }
    }
  }

  @Test
  void manyQueriesOfFewKeysAreSharedAmongThreadsWithTheSameBits() {
    AttentionShape shape = new AttentionShape(1, 2, 1, 3100, 20, 8, 8, 5);
    assertEquals(3, TiledBackward.shares(shape));
    boolean[] real = new boolean[20];
    for (int j = 0; j < 20; j++) {
      real[j] = j % 3 > 0;
    }
    for (Mask mask : new Mask[] {Mask.none(), Mask.lengths(20, 13), Mask.keys(20, real)}) {
      Tensors inputs = inputs(shape, 3);
      Tensor gradOut = Draws.gaussian(4, 1, 2, 3100, 5);
      Tensors one = backward(new Tiled(), shape, mask, inputs, gradOut, 1);
      Tensors four = backward(new Tiled(), shape, mask, inputs, gradOut, 4);
      for (String name : one.names()) {
        assertArrayEquals(one.get(name).data(), four.get(name).data());
      }
      // Sums over 6200 rows of terms of size 1: 1e-3 is what the formula's test allows of its sums.
      check(shape, mask, inputs, gradOut, one, 1e-3, mask.label());
    }
  }

  /// The bias as a term, −∞ where query and key differ by more than 40.
  private record Band(float[] bias, float[] gradient, int nk, int head) implements ScoreTerm {
    @Override
    public void scores(int first, int rows, int[] keys, int count, float[] to, int at, int ld) {
      for (int r = 0; r < rows; r++) {
        for (int c = 0; c < count; c++) {
          boolean far = Math.abs(first + r - keys[c]) > 40;
          to[at + r * ld + c] =
              far ? Float.NEGATIVE_INFINITY : bias[(head * nk + first + r) * nk + keys[c]];
        }
      }
    }

    @Override
    public void gradients(
        int first, int rows, int[] keys, int count, float[] from, int at, int ld) {
      for (int r = 0; r < rows; r++) {
        for (int c = 0; c < count; c++) {
          gradient[(head * nk + first + r) * nk + keys[c]] += from[at + r * ld + c];
        }
      }
    }
  }

  @Test
  void termOfTheScoresIsABiasAndHidesWhatItSays() {
    int n = 300;
    AttentionShape shape = AttentionShape.of(2, 2, n, 6);
    boolean[] real = new boolean[2 * n];
    for (int j = 0; j < 2 * n; j++) {
      real[j] = j % 7 > 0;
    }
    for (Mask mask :
        new Mask[] {Mask.none(), Mask.causal(), Mask.both(Mask.causal(), Mask.keys(n, real))}) {
      Tensors inputs = inputs(shape, 3);
      Tensor plain = Draws.gaussian(7, 1, 2, n, n);
      Tensor bias = plain.copy();
      for (int e = 0; e < bias.size(); e++) {
        if (Math.abs(e / n % n - e % n) > 40) {
          bias.data()[e] = Float.NEGATIVE_INFINITY;
        }
      }
      Tensor gradOut = Draws.gaussian(4, 2, 2, n, 6);
      Tensors expected = backward(new Tiled(), shape, mask, inputs.with("bias", bias), gradOut, 1);
      Tensor lse = Tensor.zeros(2, 2, n);
      Tensor out = Tensor.zeros(2, 2, n, 6);
      new Tiled()
          .plan(shape, mask, 1)
          .forward(inputs.with("bias", bias), out, Tensors.NONE.with("lse", lse));
      TiledBackward backward =
          new TiledBackward(shape, mask, 2, 1 / Math.sqrt(6), true, new Scratch());
      backward.bind(
          inputs.get("q").data(),
          inputs.get("k").data(),
          inputs.get("v").data(),
          out.data(),
          lse.data());
      float[][] actual = new float[3][2 * 2 * n * 6];
      float[] gradBias = new float[2 * n * n];
      backward.terms((_, _, head, _) -> new Band(plain.data(), gradBias, n, head), true);
      backward.run(gradOut.data(), actual[0], actual[1], actual[2]);
      assertArrayEquals(expected.get("grad_q").data(), actual[0], 1e-6f, mask.label());
      assertArrayEquals(expected.get("grad_k").data(), actual[1], 1e-6f, mask.label());
      assertArrayEquals(expected.get("grad_v").data(), actual[2], 1e-6f, mask.label());
      assertArrayEquals(expected.get("grad_bias").data(), gradBias, 1e-6f, mask.label());
    }
  }

  @Test
  void nanThatATermHidesReachesNothing() {
    int n = 60;
    AttentionShape shape = AttentionShape.of(1, 1, n, 6);
    Tensors inputs = inputs(shape, 3);
    java.util.Arrays.fill(inputs.get("k").data(), 59 * 6, n * 6, Float.NaN);
    java.util.Arrays.fill(inputs.get("v").data(), 59 * 6, n * 6, Float.NaN);
    float[] ones = new float[n * 6];
    java.util.Arrays.fill(ones, 1);
    float[] lse = new float[n];
    java.util.Arrays.fill(lse, 5);
    TiledBackward backward = new TiledBackward(shape, Mask.none(), 1, 1, true, new Scratch());
    backward.bind(
        inputs.get("q").data(), inputs.get("k").data(), inputs.get("v").data(), ones, lse);
    float[][] actual = new float[3][n * 6];
    float[] gradBias = new float[n * n];
    backward.terms((_, _, _, _) -> new Band(new float[n * n], gradBias, n, 0), true);
    backward.run(ones, actual[0], actual[1], actual[2]);
    for (int e = 0; e < 19 * 6; e++) {
      assertTrue(Float.isFinite(actual[0][e]), "query " + e / 6);
      assertTrue(Float.isFinite(actual[1][e]) || e / 6 > 0, "key " + e / 6);
    }
    assertTrue(Float.isNaN(actual[0][19 * 6]), "query 19 sees key 59");
  }

  @Test
  void nanInLaterTokensStaysThereUnderCausalOrder() {
    int n = 450;
    int d = 6;
    AttentionShape shape = AttentionShape.of(1, 1, n, d);
    for (int cut : new int[] {1, 13, 200, 449}) {
      for (String name : new String[] {"q", "k", "v"}) {
        Tensors inputs = inputs(shape, 3);
        Tensor gradOut = Draws.gaussian(4, 1, 1, n, d);
        java.util.Arrays.fill(gradOut.data(), cut * d, n * d, 0);
        Tensors clean = backward(new Tiled(), shape, Mask.causal(), inputs, gradOut, 1);
        java.util.Arrays.fill(inputs.get(name).data(), cut * d, n * d, -Float.NaN);
        Tensors poisoned = backward(new Tiled(), shape, Mask.causal(), inputs, gradOut, 1);
        assertArrayEquals(
            java.util.Arrays.copyOf(clean.get("grad_q").data(), cut * d),
            java.util.Arrays.copyOf(poisoned.get("grad_q").data(), cut * d),
            name + " from " + cut);
        assertTrue(
            Float.isNaN(poisoned.get("grad_k").data()[0]), name + " is seen by later queries");
      }
    }
  }

  @Test
  void nanInEarlierQueriesReachesNoKeyThatTheyDoNotSee() {
    int n = 450;
    int d = 6;
    AttentionShape shape = AttentionShape.of(1, 1, n, d);
    for (int cut : new int[] {1, 13, 200, 449}) {
      Tensors inputs = inputs(shape, 3);
      Tensor gradOut = Draws.gaussian(4, 1, 1, n, d);
      Tensors clean = backward(new Tiled(), shape, Mask.causal(), inputs, gradOut, 1);
      java.util.Arrays.fill(inputs.get("q").data(), 0, cut * d, Float.NaN);
      java.util.Arrays.fill(gradOut.data(), 0, cut * d, Float.POSITIVE_INFINITY);
      Tensors poisoned = backward(new Tiled(), shape, Mask.causal(), inputs, gradOut, 1);
      for (String name : new String[] {"grad_k", "grad_v"}) {
        assertArrayEquals(
            java.util.Arrays.copyOfRange(clean.get(name).data(), cut * d, n * d),
            java.util.Arrays.copyOfRange(poisoned.get(name).data(), cut * d, n * d),
            name + " from " + cut);
        assertTrue(Float.isNaN(poisoned.get(name).data()[0]), name);
      }
    }
  }

  private static Tensors inputs(AttentionShape s, long seed) {
    int b = s.batchSize();
    return Tensors.qkv(
        Draws.gaussian(seed, b, s.numHeads(), s.querySeqLen(), s.headDim()),
        Draws.gaussian(seed + 1, b, s.numKeyValueHeads(), s.keySeqLen(), s.headDim()),
        Draws.gaussian(seed + 2, b, s.numKeyValueHeads(), s.keySeqLen(), s.valueDim()));
  }

  private static Tensors backward(
      Tiled tiled, AttentionShape s, Mask mask, Tensors inputs, Tensor gradOut, int threads) {
    Tensor out = Tensor.zeros(tiled.outputShape(s));
    DifferentiablePlan plan = tiled.differentiable(s, mask, threads);
    plan.forward(inputs, out);
    Tensors gradients = Tensors.NONE;
    for (String name : inputs.names()) {
      Tensor gradient = Tensor.zeros(inputs.get(name).shape());
      java.util.Arrays.fill(gradient.data(), Float.NaN);
      gradients = gradients.with("grad_" + name, gradient);
    }
    plan.backward(gradOut, gradients);
    return gradients;
  }

  private static double loss(AttentionShape s, Mask mask, Tensors inputs, Tensor gradOut) {
    double[] out =
        Oracle.softmax(
            s,
            mask,
            inputs.get("q"),
            inputs.get("k"),
            inputs.get("v"),
            Attention.defaultScale(s),
            null);
    double loss = 0;
    for (int i = 0; i < out.length; i++) {
      loss += out[i] * gradOut.data()[i];
    }
    return loss;
  }
}
