// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.ResultRecord.GradientNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import java.io.IOException;
import org.junit.jupiter.api.Test;

/// Gradients of mechanisms that approximate another softmax than that over the given queries and
/// keys are compared with the gradients of that one.
class TrainingStepTest {

  /// One chunk of 64 sees every key; chunks of 8 do not.
  @Test
  void reformerApproximatesSoftmaxOverQueriesThatServeAsKeys() throws IOException {
    GradientNorms exact = errors("reformer:chunk_length=64");
    assertTrue(exact.query() < 1e-5 && exact.value() < 1e-5, exact.toString());
    assertEquals(exact.query(), exact.key(), "queries serve as keys");
    GradientNorms near = errors("reformer:chunk_length=8");
    assertTrue(near.query() > 0.1 && near.value() > 0.1, near.toString());
  }

  /// It comes near softmax over unit vectors with its number of features.
  @Test
  void randomFeatureAttentionApproximatesSoftmaxOverUnitVectors() throws IOException {
    GradientNorms few = errors("rfa");
    GradientNorms many = errors("rfa:num_features=4096");
    assertTrue(many.query() < few.query() / 4, few + " " + many);
    assertTrue(many.key() < few.key() / 4, few + " " + many);
    assertTrue(many.value() < few.value() / 4, few + " " + many);
  }

  private static GradientNorms errors(String spec) throws IOException {
    TrainingStep step =
        new TrainingStep(
            Problem.of(
                new Point(
                    Study.TRAINING, spec, 40, 64, 2, 1, "causal", 1, "gaussian:scale=1", 42)));
    step.build();
    return step.error().gradients();
  }
}
