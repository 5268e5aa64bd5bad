// SPDX-License-Identifier: Apache-2.0
package example;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.Catalogue;
import java.util.Locale;

/// The second program of the README in small: one forward pass of Longformer, whose last row is
/// printed.
public final class Longformer {
  private Longformer() {}

  static void main() {
    AttentionShape shape = AttentionShape.of(1, 8, 256, 16); // batch, heads, length, head width
    Attention attention = Catalogue.parse("longformer:window=16");
    Tensor query = wave(0.11);
    Tensor key = wave(0.07);
    Tensor value = wave(0.05);
    AttentionPlan plan = attention.plan(shape, Mask.causal(), 2); // allocates everything, once
    Tensor output = Tensor.zeros(attention.outputShape(shape));
    plan.forward(Tensors.qkv(query, key, value), output); // allocates nothing
    int last = output.size() - 16;
    for (int e = last; e < output.size(); e++) {
      System.out.printf(Locale.ROOT, "%.5f%n", output.data()[e]);
    }
  }

  private static Tensor wave(double frequency) {
    Tensor tensor = Tensor.zeros(1, 8, 256, 16);
    for (int e = 0; e < tensor.size(); e++) {
      tensor.data()[e] = (float) Math.sin(frequency * e);
    }
    return tensor;
  }
}
