// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class Mamba3Test extends AttentionContract {
  private static Mamba3 mamba(int groups, OptionalInt pairs) {
    return new Mamba3(groups, pairs, OptionalInt.of(20));
  }

  @Override
  public Attention attention() {
    return mamba(2, OptionalInt.empty());
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), mamba(1, OptionalInt.of(1)));
  }

  @Override
  public AttentionShape shape(int n) {
    return AttentionShape.of(2, 4, n, 8);
  }

  @Override
  public int[] headDims() {
    return new int[] {2, 3, 7, 20, 33};
  }

  @Override
  public int[] blockBorders() {
    return new int[] {20};
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("skip", "output_gate");
  }

  @Override
  public boolean paddedRowsReadTheirValue() {
    return true;
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        new Naive((Mamba3) attention, shape, mask, inputs).out;
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "final_state",
        (attention, shape, mask, inputs) ->
            new Naive((Mamba3) attention, shape, mask, inputs).state);
  }

  /// The recurrence as it is written, token by token, in double.
  private static final class Naive {
    private final AttentionShape s;
    private final Tensors inputs;
    private final int groups;
    private final int n;
    private final int d;
    private final int dv;
    private final double[] out;
    private final double[] state;

    Naive(Mamba3 attention, AttentionShape shape, Mask mask, Tensors given) {
      s = shape;
      inputs = given;
      groups = attention.groups();
      n = s.querySeqLen();
      d = s.headDim();
      dv = s.valueDim();
      out = new double[s.problems() * n * dv];
      state = new double[s.problems() * d * dv];
      for (int problem = 0; problem < s.problems(); problem++) {
        head(problem, mask);
      }
    }

    private double at(String name, int element) {
      return inputs.get(name).data()[element];
    }

    private void head(int problem, Mask mask) {
      int pairs = inputs.get("angles").extent(3);
      int head = problem % s.numHeads();
      int group = problem / s.numHeads() * groups + head / (s.numHeads() / groups);
      double[] theta = new double[pairs];
      double[] lastKey = new double[d];
      double[] lastValue = new double[dv];
      for (int t = 0; t < n; t++) {
        int row = problem * n + t;
        boolean real = mask.isRealKey(problem / s.numHeads(), t);
        double dt = real ? at("time_step", row) : 0;
        double alpha = real ? Math.exp(at("log_decay", row)) : 1;
        double lambda = real ? 1 / (1 + Math.exp(-at("trapezoid", row))) : 0;
        for (int a = 0; a < pairs && real; a++) {
          theta[a] += Math.PI * Math.tanh(at("angles", row * pairs + a)) * dt;
        }
        double[] query = turned("q", "query_bias", head, group * n + t, theta);
        double[] key = real ? turned("k", "key_bias", head, group * n + t, theta) : new double[d];
        double[] value = new double[dv];
        for (int c = 0; c < dv && real; c++) {
          value[c] = at("v", row * dv + c);
        }
        for (int e = 0; e < d * dv; e++) {
          double old = lastKey[e / dv] * lastValue[e % dv];
          int at = problem * d * dv + e;
          state[at] = alpha * (state[at] + (1 - lambda) * dt * old);
          state[at] += lambda * dt * key[e / dv] * value[e % dv];
        }
        lastKey = key;
        lastValue = value;
        read(problem, head, row, query);
      }
    }

    private double[] turned(String name, String bias, int head, int row, double[] theta) {
      double[] x = new double[d];
      for (int a = 0; a < d; a++) {
        x[a] = at(name, row * d + a) + at(bias, head * d + a);
      }
      for (int a = 0; a < theta.length; a++) {
        double even = x[2 * a];
        double odd = x[2 * a + 1];
        x[2 * a] = even * Math.cos(theta[a]) - odd * Math.sin(theta[a]);
        x[2 * a + 1] = even * Math.sin(theta[a]) + odd * Math.cos(theta[a]);
      }
      return x;
    }

    private void read(int problem, int head, int row, double[] query) {
      for (int c = 0; c < dv; c++) {
        int e = row * dv + c;
        out[e] = inputs.has("skip") ? at("skip", head) * at("v", e) : 0;
        for (int a = 0; a < d; a++) {
          out[e] += query[a] * state[(problem * d + a) * dv + c];
        }
        if (inputs.has("output_gate")) {
          out[e] *= at("output_gate", e) / (1 + Math.exp(-at("output_gate", e)));
        }
      }
    }
  }

  /// With padding there is no skip, which would read the hidden values of padded rows.
  private static RandomCases.Problem drawn(RandomCases r) {
    OptionalInt chunk = r.of(OptionalInt.empty(), OptionalInt.of(r.from(1, 90)));
    AttentionShape s = r.shape(new Mamba3(1, OptionalInt.empty(), chunk));
    int groups = s.numHeads() % 2 == 0 && r.chance(2) ? 2 : r.of(1, s.numHeads());
    OptionalInt pairs =
        r.of(OptionalInt.empty(), OptionalInt.of(0), OptionalInt.of(s.headDim() / 2));
    float decay = r.of(0f, 1f, 20f, 300f);
    RandomCases.Problem problem = r.problem(new Mamba3(groups, pairs, chunk), s);
    boolean padded = problem.mask().hasKeyPadding();
    return problem.changed(
        inputs -> {
          Tensors changed = Tensors.NONE;
          for (String name : inputs.names()) {
            if (!padded || !name.equals("skip")) {
              changed = changed.with(name, inputs.get(name));
            }
          }
          Tensors blurred = r.blurred(r.blurred(changed, "query_bias"), "key_bias");
          return RecurrentContract.scaled(blurred, "log_decay", decay);
        });
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, Mamba3Test::drawn, reference());
  }

  @Test
  void randomGradientsAgreeWithTheDefinition() {
    RandomGradients.check(40, 3, 5e-5, Mamba3Test::drawn, reference(), resultReferences());
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Mamba3.class);
  }

  /// A session takes prefixes and tokens in any mixture.
  @Test
  void prefixesInPiecesGiveTheStateOfTheWhole() {
    AttentionShape shape = AttentionShape.of(1, 2, 64, 8);
    Mamba3 mamba3 = new Mamba3(2, OptionalInt.empty(), OptionalInt.empty());
    Tensors inputs = Inputs.withParameters(mamba3, shape, Inputs.of(mamba3, shape, 7));
    Tensor whole = Forward.of(mamba3, Mask.causal(), inputs);
    DecodeSession session = mamba3.decode(shape);
    session.prefill(part(mamba3, shape, inputs, 0, 1));
    session.prefill(part(mamba3, shape, inputs, 1, 40));
    session.prefill(part(mamba3, shape, inputs, 40, 62));
    Tensor out = Tensor.zeros(1, 2, 1, 8);
    for (int t = 62; t < 64; t++) {
      session.step(part(mamba3, shape, inputs, t, t + 1), out);
      Tensor expected = RecurrentContract.rows(whole, t, t + 1);
      assertEquals(0, Forward.maxDifference(expected, out), 2e-5, "token " + t);
    }
    assertEquals(4 * 2 * (8 * 8 + 8 + 8) + 8 * 2 * 2, session.stateBytes());
  }

  private static Tensors part(
      Mamba3 mamba3, AttentionShape shape, Tensors inputs, int from, int to) {
    Tensors result = Tensors.NONE;
    for (String name : inputs.names()) {
      Tensor tensor = inputs.get(name);
      boolean perToken = tensor.rank() > 2;
      result = result.with(name, perToken ? RecurrentContract.rows(tensor, from, to) : tensor);
    }
    return result;
  }

  /// exp(−c) over the sequence overflows float32 many times over.
  @Test
  void strongDecaysStayFinite() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Mamba3 mamba3 = new Mamba3();
    Tensors inputs =
        Inputs.withParameters(mamba3, shape, Inputs.of(mamba3, shape, 8))
            .with("log_decay", Draws.uniform(9, -30, 0, 1, 2, 130));
    double[] expected = new Naive(mamba3, shape, Mask.causal(), inputs).out;
    assertEquals(
        0, Forward.maxDifference(expected, Forward.of(mamba3, Mask.causal(), inputs)), 1e-5);
  }

  @Test
  void groupsAndPairsThatDoNotFitAreRefusedByName() {
    AttentionShape shape = AttentionShape.of(1, 4, 8, 4);
    for (Mamba3 wrong : List.of(mamba(3, OptionalInt.empty()), mamba(1, OptionalInt.of(3)))) {
      var error =
          assertThrows(IllegalArgumentException.class, () -> wrong.plan(shape, Mask.causal(), 1));
      String name = wrong.groups() == 3 ? "groups" : "rotated_pairs";
      assertTrue(error.getMessage().contains(name), error.getMessage());
    }
    assertThrows(IllegalArgumentException.class, () -> mamba(0, OptionalInt.empty()));
    assertThrows(IllegalArgumentException.class, () -> mamba(1, OptionalInt.of(-1)));
  }
}
