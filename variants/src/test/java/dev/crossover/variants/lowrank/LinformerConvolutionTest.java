// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.variants.lowrank.Linformer.Projection;
import dev.crossover.variants.lowrank.Linformer.Sharing;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/// Linformer with convolved projections, which mix the columns of a window.
class LinformerConvolutionTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Linformer(Projection.CONVOLUTION, 4, Sharing.KEY_VALUE);
  }

  @Override
  public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return keySeqLen >= 4;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.PADDING_EQUALS_SHORTER,
        "the windows follow from the padded length",
        Claim.UNUSED_GRADIENTS_ZERO,
        "rows without a real key still read the biases",
        Claim.VALUE_COLUMNS_INDEPENDENT,
        "the convolution mixes the columns");
  }

  @Override
  public Reference reference() {
    return LinformerWindowsTest::windowed;
  }

  @Test
  void convolutionDropsATailShorterThanTheKernel() {
    Tensors inputs = LinformerTest.qkv(AttentionShape.of(1, 1, 14, 4), 3);
    Tensors poisoned = Tensors.qkv(inputs.get("q"), inputs.get("k").copy(), inputs.get("v").copy());
    for (int e = 12 * 4; e < 14 * 4; e++) {
      poisoned.get("k").data()[e] = Float.NaN;
      poisoned.get("v").data()[e] = Float.NaN;
    }
    Linformer strided =
        new Linformer(
            Projection.CONVOLUTION,
            4,
            Sharing.KEY_VALUE,
            OptionalInt.empty(),
            OptionalInt.empty(),
            OptionalInt.of(3),
            OptionalInt.of(3),
            42);
    Tensor before = Forward.of(strided, Mask.none(), inputs);
    Tensor after = Forward.of(strided, Mask.none(), poisoned);
    assertEquals(0, Forward.maxDifference(before, after));
  }
}
