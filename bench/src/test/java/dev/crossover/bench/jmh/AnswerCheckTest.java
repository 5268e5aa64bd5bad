// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

class AnswerCheckTest {
  private static final int N = 64;

  /// Rounding leaves a hundredth of the tolerance at most.
  @Test
  void everyMechanismGivesWhatItsScalarTwinGives() throws IOException {
    for (MechanismType type : Catalogue.all()) {
      for (Study study : Study.values()) {
        Problem problem = problem(type.name(), study, N);
        if (problem.refusal().isEmpty()) {
          double difference = AnswerCheck.difference(problem);
          assertTrue(
              difference <= AnswerCheck.TOLERANCE / 100,
              type.name() + ", " + study.word() + ": " + difference);
        }
      }
    }
  }

  /// Decoding over a cache that rounds or drops is compared with itself on the scalar kernels, not
  /// with the whole sequence, from which it differs.
  @Test
  void compressedCachesAreComparedWithTheirOwnDecoding() throws IOException {
    for (String spec : new String[] {"tiled:store=int8", "tiled:cache=h2o,budget=16"}) {
      double difference = AnswerCheck.difference(problem(spec, Study.DECODE, N));
      assertTrue(difference <= AnswerCheck.TOLERANCE / 100, spec + ": " + difference);
      assertTrue(!problem(spec, Study.FORWARD, N).refusal().isEmpty(), spec);
    }
  }

  @Test
  void wrongAnswersAreRefusedByName() throws IOException {
    for (float wrong : new float[] {1.01f, Float.NaN, 0}) {
      Problem right = problem("tiled", Study.FORWARD, N);
      Problem broken =
          new Problem(
              right.point(),
              right.type(),
              new Scaled(wrong),
              right.shape(),
              right.mask(),
              right.input());
      String message =
          assertThrows(IllegalStateException.class, () -> AnswerCheck.of(broken)).getMessage();
      assertTrue(message.startsWith("tiled: a forward pass must agree"), message);
    }
    AnswerCheck.of(problem("tiled", Study.FORWARD, N));
  }

  /// The output is right: only the gradients tell.
  @Test
  void wrongGradientsAreRefusedByName() throws IOException {
    Problem right = problem("tiled", Study.TRAINING, N);
    AnswerCheck.of(right);
    Problem broken =
        new Problem(
            right.point(),
            right.type(),
            new Scaled(1.01f),
            right.shape(),
            right.mask(),
            right.input());
    String message =
        assertThrows(IllegalStateException.class, () -> AnswerCheck.of(broken)).getMessage();
    assertTrue(message.startsWith("tiled: a training step must agree"), message);
  }

  @Test
  void longSequencesAreCheckedOnTheirBeginning() throws IOException {
    AnswerCheck.of(problem("gla", Study.FORWARD, 4096));
    Problem right = problem("tiled", Study.FORWARD, 4096);
    Problem broken =
        new Problem(
            right.point(),
            right.type(),
            new Scaled(1.01f),
            right.shape(),
            right.mask(),
            right.input());
    String message =
        assertThrows(IllegalStateException.class, () -> AnswerCheck.of(broken)).getMessage();
    assertTrue(message.endsWith("at n = 256"), message);
  }

  @Test
  void outputsMustBeFinite() {
    Point point = new Point(Study.FORWARD, "tiled", 2, 0, 0, 0, "none", 1, "captured", 1);
    AnswerCheck.finite(point, new float[] {1, -2});
    assertEquals(
        "tiled: output must be finite, but element 1 was NaN at n = 2",
        assertThrows(
                IllegalStateException.class,
                () -> AnswerCheck.finite(point, new float[] {1, Float.NaN}))
            .getMessage());
  }

  private static Problem problem(String spec, Study study, int n) throws IOException {
    return Problem.of(new Point(study, spec, n, 16, 2, 1, "causal", 2, "gaussian:scale=1", 5));
  }

  /// Exact attention times a factor.
  private record Scaled(float factor) implements Attention {
    @Override
    public Capabilities capabilities() {
      return new Tiled().capabilities();
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return new Cost(0, 0, 0);
    }

    /// Right outputs, gradients times the factor.
    @Override
    public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
      DifferentiablePlan exact = new Tiled().differentiable(request.shape(), request.mask(), 1);
      return new DifferentiablePlan(request) {
        @Override
        protected void compute(Tensor output) {
          exact.forward(qkv(this::input), output);
        }

        @Override
        protected void differentiate(float[] gradOut) {
          Tensors gradients = Tensors.NONE;
          for (String name : List.of("q", "k", "v")) {
            gradients = gradients.with("grad_" + name, tensor(gradient(name)));
          }
          exact.backward(tensor(gradOut.clone()), gradients);
          for (String name : List.of("q", "k", "v")) {
            float[] data = gradient(name);
            for (int i = 0; i < data.length; i++) {
              data[i] *= factor;
            }
          }
        }
      };
    }

    private static Tensor tensor(float[] data) {
      return Tensor.of(data, 1, 2, data.length / 32, 16);
    }

    private static Tensors qkv(Function<String, float[]> input) {
      return Tensors.qkv(
          tensor(input.apply("q")), tensor(input.apply("k")), tensor(input.apply("v")));
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return new AttentionPlan(request) {
        @Override
        protected void compute(Tensor output) {
          new Tiled().plan(shape, mask, 1).forward(qkv(this::input), output);
          float[] data = output.data();
          for (int i = 0; i < data.length; i++) {
            data[i] *= factor;
          }
        }
      };
    }
  }
}
