// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The three verdicts of a replay, on a problem whose answer is known by arithmetic.
class ReplayTest {
  private static final MechanismType EXACT = MechanismType.of(Materialised.class);

  @TempDir Path folder;

  private ReplayResult replay(GoldenWriter writer, MechanismType type) throws IOException {
    return Replay.run(GoldenFile.read(writer.write(folder.resolve("case.safetensors"))), type);
  }

  private void requireCannot(String named, GoldenWriter writer) throws IOException {
    ReplayResult result = replay(writer, EXACT);
    assertEquals(Status.CANNOT_REPLAY, result.status(), result.line());
    assertTrue(result.line().contains(named), result.line());
  }

  @Test
  void answerWithinToleranceAllowedByItsSizePasses() throws IOException {
    double allowed = 2e-5 + 2e-5 * 2;
    ReplayResult result =
        replay(new GoldenWriter().f64("out", new int[] {1, 1, 1, 1}, 2 + 0.99 * allowed), EXACT);
    assertEquals(Status.PASSED, result.status(), result.line());
    assertEquals(0.99 * allowed, result.largestDeviation(), 1e-6);
  }

  @Test
  void answerBeyondToleranceDeviates() throws IOException {
    double allowed = 2e-5 + 2e-5 * 2;
    ReplayResult result =
        replay(new GoldenWriter().f64("out", new int[] {1, 1, 1, 1}, 2 + 1.1 * allowed), EXACT);
    assertEquals(Status.DEVIATED, result.status(), result.line());
  }

  @Test
  void notANumberDeviates() throws IOException {
    ReplayResult result =
        replay(new GoldenWriter().f32("v", new int[] {1, 1, 2, 1}, Double.NaN, 3), EXACT);
    assertEquals(Status.DEVIATED, result.status(), result.line());
    assertTrue(Double.isInfinite(result.largestDeviation()));
  }

  @Test
  void whatTheMechanismDoesNotKnowCannotBeReplayedAndIsNamed() throws IOException {
    requireCannot("window", new GoldenWriter().meta("window", "3"));
    requireCannot("scale", new GoldenWriter().meta("scale", "much"));
    requireCannot("gate", new GoldenWriter().f32("gate", new int[] {1}, 1));
    requireCannot("longformer", new GoldenWriter().meta("mechanism", "longformer"));
    requireCannot("kv_heads", new GoldenWriter().meta("kv_heads", "2"));
    requireCannot("final_state", new GoldenWriter().f64("final_state", new int[] {1}, 1));
    requireCannot("out", new GoldenWriter().f64("out", new int[] {1, 1, 2, 1}, 2, 2));
    requireCannot("k", new GoldenWriter().without("k"));
  }

  @Test
  void sharedHeadsMustBeWritten() throws IOException {
    GoldenWriter shared =
        new GoldenWriter()
            .f32("q", new int[] {1, 2, 1, 1}, 1, 1)
            .f64("out", new int[] {1, 2, 1, 1}, 2, 2);
    requireCannot("kv_heads", shared);
    assertTrue(replay(shared.meta("kv_heads", "1"), EXACT).passed());
  }

  /// The mean of two values has the gradient 1/2 with respect to each.
  private static GoldenWriter withGradients(double first) {
    return new GoldenWriter()
        .f32("grad_out", new int[] {1, 1, 1, 1}, 1)
        .f64("grad_q", new int[] {1, 1, 1, 1}, 0)
        .f64("grad_k", new int[] {1, 1, 2, 1}, -0.5, 0.5)
        .f64("grad_v", new int[] {1, 1, 2, 1}, first, 0.5);
  }

  @Test
  void gradientsAreNamedAsSkippedWithoutABackwardPass() throws IOException {
    ReplayResult result = replay(withGradients(0.5), MechanismType.of(ForwardOnly.class));
    assertTrue(result.passed(), result.line());
    assertTrue(result.line().contains("grad_v: forward_only has no"), result.line());
  }

  @Test
  void gradientsAreComparedWhereThereIsABackwardPass() throws IOException {
    MechanismType tiled = MechanismType.of(Tiled.class);
    ReplayResult result = replay(withGradients(0.5), tiled);
    assertTrue(result.passed(), result.line());
    assertEquals(
        List.of("out", "grad_q", "grad_k", "grad_v", "out of the differentiable plan"),
        result.comparisons().stream().map(Comparison::name).toList());
    assertEquals(Status.DEVIATED, replay(withGradients(0.6), tiled).status());
  }

  @Test
  void gradientOfABiasAloneIsCompared() throws IOException {
    GoldenWriter biased =
        new GoldenWriter()
            .f32("bias", new int[] {1, 1, 1, 2}, 0, 0)
            .f32("grad_out", new int[] {1, 1, 1, 1}, 1);
    MechanismType tiled = MechanismType.of(Tiled.class);
    GoldenWriter right = biased.f64("grad_bias", new int[] {1, 1, 1, 2}, -0.5, 0.5);
    assertTrue(replay(right, tiled).passed(), replay(right, tiled).line());
    GoldenWriter wrong = biased.f64("grad_bias", new int[] {1, 1, 1, 2}, 0.5, 0.5);
    assertEquals(Status.DEVIATED, replay(wrong, tiled).status());
    GoldenWriter unknown = biased.f64("grad_gate", new int[] {1}, 0);
    assertEquals(Status.CANNOT_REPLAY, replay(unknown, tiled).status());
  }

  @Test
  void whatTheMechanismProducesIsComparedAndOtherAnswersAreInformation() throws IOException {
    MechanismType tiled = MechanismType.of(Tiled.class);
    double sum = Math.log(2) + 2;
    GoldenWriter known = new GoldenWriter().f64("lse", new int[] {1, 1, 1}, sum);
    assertTrue(replay(known, tiled).passed(), replay(known, tiled).line());
    GoldenWriter wrong = new GoldenWriter().f64("lse", new int[] {1, 1, 1}, sum + 1);
    assertEquals(Status.DEVIATED, replay(wrong, tiled).status());
    GoldenWriter information = new GoldenWriter().f64("some_kernel", new int[] {1}, 5);
    assertTrue(replay(information, tiled).passed());
    GoldenWriter demanded = new GoldenWriter().f64("final_state", new int[] {1}, 5);
    assertEquals(Status.CANNOT_REPLAY, replay(demanded, tiled).status());
    GoldenWriter input = new GoldenWriter().f64("bias", new int[] {1, 1, 1, 2}, 0, 0);
    assertEquals(Status.CANNOT_REPLAY, replay(input, tiled).status());
  }

  @Test
  void rowsTheFileHasZeroAreZeroedWhereTheMechanismComputesThem() throws IOException {
    GoldenWriter padded =
        new GoldenWriter()
            .f32("q", new int[] {1, 1, 2, 1}, 1, 1)
            .f32("key_mask", new int[] {1, 2}, 1, 0)
            .f64("out", new int[] {1, 1, 2, 1}, 1, 0);
    assertFalse(replay(padded, EXACT).passed());
    assertTrue(replay(padded.meta("padded_query_rows", "zero"), EXACT).passed());
  }

  /// Answers 2 and has no backward pass.
  @Mechanism(
      name = "forward_only",
      golden = "softmax",
      title = "",
      paper = "",
      family = Mechanism.Family.EXACT,
      approximates = Mechanism.Approximates.NONE,
      exactness = "",
      time = "",
      memory = "",
      exponent = 1)
  public record ForwardOnly() implements Attention {
    @Override
    public Capabilities capabilities() {
      return Capabilities.MINIMAL.crossAttention(true);
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return new Cost(0, 0, 0);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return new AttentionPlan(request) {
        @Override
        protected void compute(Tensor output) {
          Arrays.fill(output.data(), 2);
        }
      };
    }
  }

  /// Gives another answer with two threads.
  @Mechanism(
      name = "threaded",
      golden = "softmax",
      title = "",
      paper = "",
      family = Mechanism.Family.EXACT,
      approximates = Mechanism.Approximates.NONE,
      exactness = "",
      time = "",
      memory = "",
      exponent = 1)
  public record Threaded(@Parameter(value = "", defaultValue = "2") double answer)
      implements Attention {
    @Override
    public Capabilities capabilities() {
      return Capabilities.MINIMAL.crossAttention(true);
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return new Cost(0, 0, 0);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return new AttentionPlan(request) {
        @Override
        protected void compute(Tensor output) {
          output.data()[0] = (float) answer + (threads() - 1) * 0x1p-22f;
        }
      };
    }
  }

  @Test
  void bitsThatDependOnTheThreadsDeviateEvenWithinTolerance() throws IOException {
    ReplayResult result = replay(new GoldenWriter(), MechanismType.of(Threaded.class));
    assertEquals(Status.DEVIATED, result.status());
    assertTrue(result.line().contains("two threads"), result.line());
  }
}
