// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.KEY_DIM;
import static dev.crossover.attention.Axis.KEY_VALUE_HEADS;
import static dev.crossover.attention.Axis.MODEL_DIM;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.QUERY;
import static dev.crossover.attention.Axis.VALUE_DIM;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Test;

class AxisTest {
  private static final AttentionShape SHAPE = new AttentionShape(2, 6, 3, 4, 5, 8, 7, 9);

  @Test
  void takesItsSizeFromTheShape() {
    List<Axis> axes =
        List.of(
            BATCH,
            HEADS,
            KEY_VALUE_HEADS,
            QUERY,
            KEY,
            HEAD_DIM,
            KEY_DIM,
            VALUE_DIM,
            MODEL_DIM,
            ONE);
    assertArrayEquals(new int[] {2, 6, 3, 4, 5, 8, 7, 9, 48, 1}, Axis.sizes(SHAPE, axes));
    assertEquals(15, KEY.times(3).size(SHAPE));
    assertEquals(11, Axis.of("features", 11).size(SHAPE));
  }

  @Test
  void isFoundByNameWithAnyNumberOfRows() {
    TensorSpec spec =
        TensorSpec.input("k", "keys", Draws::gaussian, SHAPE, BATCH, KEY.times(3), KEY_DIM);
    assertEquals(1, spec.dimension(QUERY, KEY));
    assertEquals(-1, spec.dimension(HEADS));
    assertTrue(spec.has(BATCH));
    assertFalse(spec.has(QUERY));
    assertEquals("[batch, 3 key, key_dim]", spec.axes().toString());
    assertEquals(TensorSpec.Shape.of(2, 15, 7), spec.shape());
  }

  @Test
  void refusesSizesBeyondAnArray() {
    assertThrows(ArithmeticException.class, () -> KEY.times(Integer.MAX_VALUE).size(SHAPE));
  }

  @Test
  void slicesTokensAlongPositions() {
    Attention twice =
        new Attention() {
          @Override
          public Capabilities capabilities() {
            return Capabilities.MINIMAL;
          }

          @Override
          public Cost cost(AttentionShape shape, Mask mask, int threads) {
            return new Cost(0, 0, 0);
          }

          @Override
          public AttentionPlan newPlan(PlanRequest request) {
            throw new UnsupportedOperationException();
          }

          @Override
          public List<TensorSpec> inputs(AttentionShape s) {
            return List.of(
                TensorSpec.input("k", "", Draws::gaussian, s, BATCH, KEY.times(2), KEY_DIM),
                TensorSpec.optional("bias", "", Draws::gaussian, s, QUERY, KEY),
                TensorSpec.optional("state", "", Draws::gaussian, s, BATCH, KEY_DIM),
                TensorSpec.parameter("positions", "", Draws::gaussian, s, KEY, KEY_DIM));
          }
        };
    AttentionShape shape = AttentionShape.of(2, 1, 3, 1);
    Tensor state = Tensor.zeros(2, 1);
    Tensor positions = Tensor.zeros(3, 1);
    Tensors whole =
        Tensors.NONE
            .with("k", Tensor.of(new float[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 2, 6, 1))
            .with("bias", Tensor.of(new float[] {0, 1, 2, 3, 4, 5, 6, 7, 8}, 3, 3))
            .with("state", state)
            .with("positions", positions);
    Tensors cut = new TokenSlices(twice, shape, whole).range(1, 3);
    assertArrayEquals(new float[] {2, 3, 4, 5, 8, 9, 10, 11}, cut.get("k").data());
    assertArrayEquals(new float[] {4, 5, 7, 8}, cut.get("bias").data());
    assertSame(state, cut.get("state"));
    assertSame(positions, cut.get("positions"));
  }
}
