// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import org.junit.jupiter.api.Test;

/// Scores so large that one unit in their last place is more than any exponent holds.
class LargeInputsTest {

  @Test
  void everyMechanismStaysFinite() throws IOException {
    for (MechanismType type : Catalogue.all()) {
      for (String mask : new String[] {"none", "causal"}) {
        Causality order = type.defaults().capabilities().causal();
        boolean possible = order != (mask.equals("causal") ? Causality.NEVER : Causality.ALWAYS);
        for (float factor : possible ? new float[] {1e4f, 1e8f} : new float[0]) {
          Problem problem =
              Problem.of(
                  new Point(
                      Study.FORWARD, type.name(), 300, 0, 0, 0, mask, 1, "gaussian:scale=1", 42));
          Tensors qkv = problem.input().load(problem.shape(), 42);
          float[] query = qkv.get("q").data();
          for (int i = 0; i < query.length; i++) {
            query[i] *= factor;
          }
          Tensor output = problem.newOutput();
          problem
              .attention()
              .plan(problem.shape(), problem.mask(), 1)
              .forward(problem.attention().adapt(problem.shape(), qkv, 42), output);
          for (float value : output.data()) {
            assertTrue(Float.isFinite(value), type.name() + " " + mask + " times " + factor);
          }
        }
      }
    }
  }
}
