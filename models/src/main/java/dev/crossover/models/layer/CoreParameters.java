// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// The mechanism's parameters that were given, beside what is made of tokens; put together anew
/// only when other tensors are given.
final class CoreParameters {
  private final List<TensorSpec> specs;
  private final @Nullable Tensor[] known;
  private @Nullable Tensors made;
  private Tensors together = Tensors.NONE;

  CoreParameters(List<TensorSpec> specs) {
    this.specs = specs;
    known = new Tensor[specs.size()];
  }

  /// @param given the elements of an input by name, or null
  Tensors with(Tensors newMade, Function<String, float @Nullable []> given) {
    boolean same = made == newMade;
    for (int i = 0; i < known.length; i++) {
      float[] data = given.apply(MultiHeadLayer.CORE + specs.get(i).name());
      Tensor before = known[i];
      if ((before == null ? null : before.data()) != data) {
        known[i] = data == null ? null : Tensor.of(data, specs.get(i).shape().toArray());
        same = false;
      }
    }
    if (!same) {
      Tensors all = newMade;
      for (int i = 0; i < known.length; i++) {
        Tensor tensor = known[i];
        all = tensor == null ? all : all.with(specs.get(i).name(), tensor);
      }
      together = all;
      made = newMade;
    }
    return together;
  }
}
