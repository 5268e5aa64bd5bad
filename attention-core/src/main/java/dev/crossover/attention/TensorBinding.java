// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Tensors taken for one call and checked against what a mechanism says about them: inputs,
/// results, or the gradients of either. What is absent is bound to nothing.
///
/// Binding again replaces what was bound and allocates nothing. Used by one caller at a time.
final class TensorBinding implements BoundTensors {
  private final String mechanism;
  private final String what;
  private final String prefix;
  private final TensorSpec[] specs;
  private final String[] names;
  private final int[][] shapes;
  private final @Nullable Tensor[] bound;

  /// @param mechanism its name, for messages
  /// @param what the tensors together, for messages: `inputs`
  /// @param prefix what stands before a spec's name in the name of its tensor: `grad_`
  /// @param specs which tensors there are
  TensorBinding(String mechanism, String what, String prefix, List<TensorSpec> specs) {
    this.mechanism = mechanism;
    this.what = what;
    this.prefix = prefix;
    this.specs = specs.toArray(TensorSpec[]::new);
    names = specs.stream().map(spec -> prefix + spec.name()).toArray(String[]::new);
    shapes = specs.stream().map(spec -> spec.shape().toArray()).toArray(int[][]::new);
    bound = new Tensor[names.length];
  }

  /// Takes the given tensors, any subset of those that there are.
  ///
  /// @throws IllegalArgumentException if a tensor is unknown or misshapen
  void bind(Tensors given) {
    int known = 0;
    for (int i = 0; i < names.length; i++) {
      bound[i] = null;
      if (given.has(names[i])) {
        Tensor tensor = given.get(names[i]);
        requireShape(mechanism, names[i], shapes[i], tensor);
        bound[i] = tensor;
        known++;
      }
    }
    if (known != given.size()) {
      throw new IllegalArgumentException(
          mechanism
              + ": "
              + what
              + " must be among "
              + Arrays.toString(names)
              + ", but were "
              + given.names());
    }
  }

  /// Refuses a tensor of another shape by name.
  static void requireShape(String mechanism, String name, int[] expected, Tensor tensor) {
    if (!tensor.hasShape(expected)) {
      throw new IllegalArgumentException(
          mechanism
              + ": "
              + name
              + " must have shape "
              + Arrays.toString(expected)
              + ", but was "
              + Arrays.toString(tensor.shape()));
    }
  }

  /// Refuses a bound tensor that shares storage with another that is read or written.
  ///
  /// @param others named tensors; one that is bound here, under the same name, is not another
  void requireApart(Tensors others) {
    for (int j = 0; j < others.size(); j++) {
      requireApart(others.name(j), others.tensor(j));
    }
  }

  /// Refuses a bound tensor that shares storage with another that is read or written.
  void requireApart(String name, Tensor other) {
    for (int i = 0; i < names.length; i++) {
      Tensor tensor = bound[i];
      boolean shared =
          tensor != null
              && tensor.size() > 0
              && tensor.data() == other.data()
              && !names[i].equals(name);
      if (shared) {
        throw new IllegalArgumentException(
            mechanism + ": " + names[i] + " must not share storage, but was that of " + name);
      }
    }
  }

  /// Number of tensors that there are.
  int size() {
    return specs.length;
  }

  /// What the mechanism says about one.
  TensorSpec spec(int i) {
    return specs[i];
  }

  /// One of them, absent where nothing was given.
  @Nullable Tensor tensor(int i) {
    return bound[i];
  }

  /// Binds a tensor in place of an absent one.
  void complete(int i, @Nullable Tensor tensor) {
    bound[i] = tensor;
  }

  private @Nullable Tensor find(String name) {
    for (int i = 0; i < specs.length; i++) {
      if (specs[i].name().equals(name)) {
        return bound[i];
      }
    }
    return null;
  }

  @Override
  public boolean has(String name) {
    return find(name) != null;
  }

  @Override
  public float[] get(String name) {
    Tensor tensor = find(name);
    if (tensor == null) {
      throw new IllegalStateException(prefix + name + " is not bound");
    }
    return tensor.data();
  }
}
