// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.lowrank.Mla.Form;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class MlaTest extends AttentionContract {
  /// A score is a product of three vectors instead of two: twice the error of exact attention's.
  private static final double TOLERANCE = 4e-5;

  @Override
  public Attention attention() {
    return mla(Form.NAIVE, 5, 4, Rope.INTERLEAVED);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), mla(Form.ABSORB, 5, 4, Rope.HALF));
  }

  private static Mla mla(Form form, int r, int dr, Rope rope) {
    return new Mla(
        form,
        OptionalInt.of(r),
        OptionalInt.of(dr),
        rope,
        100,
        1e-3,
        OptionalDouble.empty(),
        Draws.DEFAULT_SEED);
  }

  /// Wider than the rotated features.
  @Override
  public int[] headDims() {
    return new int[] {5, 7, 20, 33};
  }

  @Override
  public double tolerance() {
    return TOLERANCE;
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("latent_norm_weight", "rope_frequencies");
  }

  @Override
  public List<String> scoredInputs() {
    return List.of("q", "latent", "key_rope");
  }

  @Override
  public Reference reference() {
    return MlaTest::expected;
  }

  /// Keys and values of every head, in double precision.
  private static double[] expected(Attention attention, AttentionShape s, Mask mask, Tensors in) {
    Mla mla = (Mla) attention;
    int r = in.get("latent").extent(2);
    int dr = in.get("key_rope").extent(2);
    int dn = s.headDim() - dr;
    int nk = s.keySeqLen();
    double scale = mla.scale().orElse(1 / Math.sqrt(s.headDim()));
    int shift = mask.isCausal() ? mask.causalOffset(s.querySeqLen(), nk) : nk - s.querySeqLen();
    double[][] c = new double[s.batchSize() * nk][];
    double[][] t = new double[s.batchSize() * nk][];
    for (int row = 0; row < c.length; row++) {
      c[row] = normed(in, row, r, mla.eps());
      t[row] = rotated(mla, in, in.get("key_rope").data(), row * dr, dr, row % nk);
    }
    float[] keyUp = in.get("key_up").data();
    float[] valueUp = in.get("value_up").data();
    float[] q = in.get("q").data();
    int dv = s.valueDim();
    double[] out = new double[s.problems() * s.querySeqLen() * dv];
    for (int row = 0; row < s.problems() * s.querySeqLen(); row++) {
      int i = row % s.querySeqLen();
      int problem = row / s.querySeqLen();
      int b = problem / s.numHeads();
      int h = problem % s.numHeads();
      double[] rotated = rotated(mla, in, q, row * s.headDim() + dn, dr, i + shift);
      double[] scores = new double[nk];
      double most = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < nk; j++) {
        scores[j] = Double.NEGATIVE_INFINITY;
        if (Oracle.sees(s, mask, b, i, j)) {
          double sum = 0;
          for (int a = 0; a < dn; a++) {
            sum += q[row * s.headDim() + a] * dot(keyUp, (h * dn + a) * r, c[b * nk + j]);
          }
          for (int a = 0; a < dr; a++) {
            sum += rotated[a] * t[b * nk + j][a];
          }
          scores[j] = scale * sum;
          most = Math.max(most, scores[j]);
        }
      }
      double total = 0;
      for (int j = 0; j < nk; j++) {
        scores[j] = most == Double.NEGATIVE_INFINITY ? 0 : Math.exp(scores[j] - most);
        total += scores[j];
      }
      for (int j = 0; j < nk; j++) {
        for (int a = 0; a < dv && scores[j] > 0; a++) {
          out[row * dv + a] += scores[j] / total * dot(valueUp, (h * dv + a) * r, c[b * nk + j]);
        }
      }
    }
    return out;
  }

  private static double dot(float[] x, int xo, double[] y) {
    double sum = 0;
    for (int a = 0; a < y.length; a++) {
      sum += x[xo + a] * y[a];
    }
    return sum;
  }

  private static double[] normed(Tensors in, int row, int r, double eps) {
    double[] c = new double[r];
    double squares = 0;
    for (int a = 0; a < r; a++) {
      c[a] = in.get("latent").data()[row * r + a];
      squares += c[a] * c[a];
    }
    for (int a = 0; a < r && in.has("latent_norm_weight"); a++) {
      c[a] *= in.get("latent_norm_weight").data()[a] / Math.sqrt(squares / r + eps);
    }
    return c;
  }

  private static double[] rotated(Mla mla, Tensors in, float[] x, int xo, int dr, int position) {
    double[] y = new double[dr];
    for (int a = 0; a < dr / 2; a++) {
      double frequency =
          in.has("rope_frequencies")
              ? in.get("rope_frequencies").data()[a]
              : Math.pow(mla.ropeBase(), -2.0 * a / dr);
      int u = mla.rope() == Rope.INTERLEAVED ? 2 * a : a;
      int w = mla.rope() == Rope.INTERLEAVED ? 2 * a + 1 : a + dr / 2;
      double cos = Math.cos(position * frequency);
      double sin = Math.sin(position * frequency);
      y[u] = x[xo + u] * cos - x[xo + w] * sin;
      y[w] = x[xo + u] * sin + x[xo + w] * cos;
    }
    return y;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Mla.class);
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.check(80, 41, TOLERANCE, MlaTest::problem, reference());
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(60, 43, TOLERANCE, MlaTest::problem, reference());
  }

  private static RandomCases.Problem problem(RandomCases random) {
    AttentionShape shape = random.shape(new Mla());
    int d = shape.headDim();
    Mla mla =
        new Mla(
            random.of(Form.values()),
            random.chance(3) ? OptionalInt.empty() : OptionalInt.of(random.from(1, 20)),
            OptionalInt.of(2 * random.from(0, (d - 1) / 2)),
            random.of(Rope.INTERLEAVED, Rope.HALF),
            random.of(10000.0, 10.0),
            random.of(1e-6, 0.1),
            random.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(0.4),
            7);
    return random.problem(mla, shape);
  }

  @Test
  void bothFormsAreOneFunction() {
    AttentionShape shape = new AttentionShape(2, 3, 3, 70, 90, 12, 12, 10);
    Tensors inputs = Inputs.of(attention(), shape, 3, optionalInputs());
    for (Mask mask : List.of(Mask.none(), Mask.causal(), Mask.lengths(90, 90, 31))) {
      Tensor naive = Tensor.zeros(2, 3, 70, 10);
      Tensor absorbed = Tensor.zeros(2, 3, 70, 10);
      mla(Form.NAIVE, 5, 4, Rope.HALF).plan(shape, mask, 1).forward(inputs, naive);
      mla(Form.ABSORB, 5, 4, Rope.HALF).plan(shape, mask, 1).forward(inputs, absorbed);
      assertTrue(Forward.maxDifference(naive, absorbed) < 1e-5, mask.label());
    }
  }

  @Test
  void automaticFormIsNaiveForManyQueriesAndAbsorbedForOne() {
    Mla v3 =
        new Mla(
            Form.AUTO,
            OptionalInt.of(512),
            OptionalInt.of(64),
            Rope.INTERLEAVED,
            10000,
            1e-6,
            OptionalDouble.empty(),
            1);
    AttentionShape prompt = new AttentionShape(1, 128, 128, 1024, 1024, 192, 192, 128);
    assertEquals(false, v3.absorbed(prompt, Mask.causal()));
    assertEquals(true, v3.absorbed(prompt.withSeqLens(1, 1024), Mask.causal()));
  }

  @Test
  void defaultWidthsAreThoseOfTheModels() {
    AttentionShape v3 = new AttentionShape(1, 128, 128, 1, 1, 192, 192, 128);
    assertEquals(512, new Mla().rank(v3));
    assertEquals(64, new Mla().rotated(v3));
  }

  /// W^DKV's rows are permuted in ports: pairs (2a, 2a + 1) become (a, a + dr / 2).
  @Test
  void halvesRotateWhatPairsDoAfterAPermutation() {
    AttentionShape shape = AttentionShape.of(1, 2, 19, 11);
    Tensors inputs = Inputs.of(mla(Form.NAIVE, 5, 6, Rope.HALF), shape, 3);
    Tensors permuted =
        inputs
            .with("q", permuted(inputs.get("q"), 5))
            .with("key_rope", permuted(inputs.get("key_rope"), 0));
    Tensor pairs = Tensor.zeros(1, 2, 19, 11);
    Tensor halves = Tensor.zeros(1, 2, 19, 11);
    mla(Form.NAIVE, 5, 6, Rope.INTERLEAVED).plan(shape, Mask.causal(), 1).forward(inputs, pairs);
    mla(Form.NAIVE, 5, 6, Rope.HALF).plan(shape, Mask.causal(), 1).forward(permuted, halves);
    assertEquals(0, Forward.maxDifference(pairs, halves), 1e-5);
  }

  private static Tensor permuted(Tensor x, int from) {
    int width = x.extent(x.rank() - 1);
    Tensor y = x.copy();
    int half = (width - from) / 2;
    for (int row = 0; row < x.size(); row += width) {
      for (int a = 0; a < half; a++) {
        y.data()[row + from + a] = x.data()[row + from + 2 * a];
        y.data()[row + from + half + a] = x.data()[row + from + 2 * a + 1];
      }
    }
    return y;
  }

  /// Contract sessions have neither a norm nor given frequencies.
  @Test
  void sessionsTakeNormAndFrequencies() {
    AttentionShape shape = new AttentionShape(2, 19, 19, 21, 21, 8, 8, 6);
    for (Form form : Form.values()) {
      Mla mla = mla(form, 5, 4, Rope.HALF);
      Tensors inputs =
          Inputs.withParameters(mla, shape, Inputs.of(mla, shape, 3, optionalInputs()));
      double[] whole = expected(mla, shape, Mask.causal(), inputs);
      DecodeSession session = mla.decode(shape, 2);
      session.prefill(tokens(mla, shape, inputs, 0, 6));
      Tensor out = Tensor.zeros(2, 19, 1, 6);
      for (int t = 6; t < 21; t++) {
        session.step(tokens(mla, shape, inputs, t, t + 1), out);
        for (int e = 0; e < out.size(); e++) {
          double wanted = whole[(e / 6 * 21 + t) * 6 + e % 6];
          assertEquals(wanted, out.data()[e], TOLERANCE * 5, form + ", token " + t);
        }
      }
    }
  }

  private static Tensors tokens(Mla mla, AttentionShape shape, Tensors inputs, int from, int to) {
    Tensors tokens = inputs;
    for (TensorSpec spec : mla.inputs(shape.withSeqLens(to - from, to - from))) {
      if (spec.role() == TensorSpec.Role.INPUT) {
        int[] sizes = spec.shape().toArray();
        int[] start = new int[sizes.length];
        start[sizes.length - 2] = from;
        tokens = tokens.with(spec.name(), Inputs.block(inputs.get(spec.name()), start, sizes));
      }
    }
    return tokens;
  }

  /// V3: 576 numbers per token and layer instead of 40960.
  @Test
  void absorbedStateIsOneLatentPerTokenAndNaiveStateAllHeads() {
    AttentionShape shape = new AttentionShape(1, 128, 128, 4, 4, 192, 192, 128);
    assertEquals(576 * 4, bytesOfOneToken(new Mla(), shape));
    assertEquals(40960 * 4, bytesOfOneToken(new Mla(Form.NAIVE), shape));
  }

  private static long bytesOfOneToken(Mla mla, AttentionShape shape) {
    DecodeSession session = mla.decode(shape);
    session.prefill(Inputs.of(mla, shape.withSeqLens(1, 1), 3));
    return session.stateBytes();
  }

  @Test
  void hiddenTokensReachNoGradientNotEvenAsNaN() {
    AttentionShape shape = AttentionShape.of(2, 2, 40, 8);
    Mask mask = Mask.both(Mask.causal(), Mask.lengths(40, 40, 23));
    for (Form form : List.of(Form.NAIVE, Form.ABSORB)) {
      Mla mla = mla(form, 5, 4, Rope.HALF);
      Tensors inputs = Inputs.of(mla, shape, 3, optionalInputs());
      Tensors hidden = inputs;
      for (String name : List.of("latent", "key_rope")) {
        Tensor x = inputs.get(name);
        hidden =
            hidden.with(
                name,
                Inputs.mixed(x, Inputs.filledLike(x, Float.NaN), at -> at[0] == 1 && at[1] >= 23));
      }
      Tensors clean = gradients(mla, shape, mask, inputs);
      Tensors poisoned = gradients(mla, shape, mask, hidden);
      for (int t = 0; t < clean.size(); t++) {
        assertArrayEquals(
            clean.tensor(t).data(), poisoned.tensor(t).data(), form + " " + clean.name(t));
      }
    }
  }

  /// A row that sees no key may hold anything: no sum over rows takes it in.
  @Test
  void rowsWithoutKeysSendNothingNotEvenNaN() {
    AttentionShape shape = AttentionShape.of(1, 2, 20, 8);
    Mla mla = mla(Form.ABSORB, 5, 4, Rope.HALF);
    Tensors inputs = Inputs.of(mla, shape, 3);
    Tensor q = inputs.get("q");
    Tensors poisoned =
        inputs.with("q", Inputs.mixed(q, Inputs.filledLike(q, Float.NaN), at -> at[2] < 3));
    Tensors clean = gradients(mla, shape, Mask.causal(-3), inputs, "key_up", "value_up");
    Tensors other = gradients(mla, shape, Mask.causal(-3), poisoned, "key_up", "value_up");
    for (int t = 0; t < clean.size(); t++) {
      assertArrayEquals(clean.tensor(t).data(), other.tensor(t).data(), clean.name(t));
    }
  }

  /// Gradients of the named inputs, or of all.
  private static Tensors gradients(
      Mla mla, AttentionShape shape, Mask mask, Tensors inputs, String... names) {
    DifferentiablePlan plan = mla.differentiable(shape, mask, 1);
    plan.forward(inputs, Tensor.zeros(mla.outputShape(shape)));
    Tensors places = Tensors.NONE;
    for (TensorSpec spec : mla.inputs(shape)) {
      boolean asked = names.length == 0 || List.of(names).contains(spec.name());
      if (spec.differentiable() && asked) {
        places = places.with("grad_" + spec.name(), Tensor.zeros(spec.shape().toArray()));
      }
    }
    plan.backward(Draws.gaussian(9, mla.outputShape(shape)), places);
    return places;
  }

  @Test
  void badSettingsAreRefusedByName() {
    for (String bad : List.of("kv_lora_rank", "qk_rope_head_dim")) {
      IllegalArgumentException refused =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  mla(
                      Form.NAIVE,
                      bad.equals("kv_lora_rank") ? 0 : 4,
                      bad.equals("kv_lora_rank") ? 2 : 3,
                      Rope.HALF));
      assertTrue(String.valueOf(refused.getMessage()).contains(bad));
    }
    IllegalArgumentException narrow =
        assertThrows(
            IllegalArgumentException.class,
            () -> attention().plan(AttentionShape.of(1, 1, 4, 4), Mask.none(), 1));
    assertTrue(String.valueOf(narrow.getMessage()).contains("headDim"));
  }
}
