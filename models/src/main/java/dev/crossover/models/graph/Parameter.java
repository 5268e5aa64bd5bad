// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A named tensor of a model and, where it is trained, its gradient.
public final class Parameter {
  private static final List<String> CONSTANTS =
      List.of("random_projection", "running_mean", "running_variance");

  private final String name;
  private final Tensor value;
  private @Nullable Tensor gradient;

  Parameter(String name, Tensor value) {
    this.name = name;
    this.value = value;
  }

  /// The name, hierarchical: `layers.0.mixer.query_weight`.
  public String name() {
    return name;
  }

  /// The elements.
  public Tensor value() {
    return value;
  }

  /// The accumulated gradient; made, all zero, when first asked for.
  public Tensor gradient() {
    Tensor known = gradient;
    if (known == null) {
      known = Tensor.zeros(value.shape());
      gradient = known;
    }
    return known;
  }

  /// Whether a graph has asked for a gradient.
  public boolean hasGradient() {
    return gradient != null;
  }

  /// Whether it is never trained: random projections and running statistics.
  public boolean isConstant() {
    return isConstant(name);
  }

  /// Whether a tensor of this name is never trained.
  public static boolean isConstant(String name) {
    return CONSTANTS.stream().anyMatch(name::endsWith);
  }
}
