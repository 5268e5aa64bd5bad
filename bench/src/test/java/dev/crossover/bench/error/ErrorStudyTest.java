// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import java.util.List;
import org.junit.jupiter.api.Test;

class ErrorStudyTest {
  private static final Tensor EXACT = tensor(3, 4, 0, 2, 1, 0, 0, 0);

  @Test
  void equalOutputsHaveNoError() {
    assertEquals(
        new ErrorNorms(0, 0, 1, List.of(0.0, 0.0)), ErrorStudy.compare(EXACT.copy(), EXACT));
  }

  @Test
  void doubledOutputHasRelativeErrorOneAndTheSameDirection() {
    Tensor doubled = tensor(6, 8, 0, 4, 2, 0, 0, 0);
    assertEquals(new ErrorNorms(1, 4, 1, List.of(1.0, 1.0)), ErrorStudy.compare(doubled, EXACT));
  }

  /// Head 0 differs by (0, 0, 3, 0) from a norm of √29, head 1 by its whole row of norm 1.
  @Test
  void normsAreThoseOfTheDefinition() {
    ErrorNorms norms = ErrorStudy.compare(tensor(3, 4, 3, 2, 0, 0, 0, 0), EXACT);
    assertEquals(Math.sqrt(10.0 / 30), norms.relativeFrobenius(), 1e-15);
    assertEquals(3, norms.maxAbs());
    assertEquals((1 + 2 / Math.sqrt(13) + 0 + 1) / 4, norms.meanCosine(), 1e-15);
    assertEquals(Math.sqrt(9.0 / 29), norms.perHead().get(0), 1e-15);
    assertEquals(1, norms.perHead().get(1));
  }

  @Test
  void notANumberIsNeverHidden() {
    ErrorNorms norms = ErrorStudy.compare(tensor(3, 4, Float.NaN, 2, 1, 0, 0, 0), EXACT);
    assertEquals(Double.NaN, norms.relativeFrobenius());
    assertEquals(Double.NaN, norms.maxAbs());
  }

  @Test
  void shapesMustAgree() {
    assertThrows(
        IllegalArgumentException.class, () -> ErrorStudy.compare(Tensor.zeros(1, 2, 4, 1), EXACT));
  }

  /// Two heads of two rows of width 2.
  private static Tensor tensor(float... data) {
    return Tensor.of(data, 1, 2, 2, 2);
  }
}
