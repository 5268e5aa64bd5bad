// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.Scratch;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Sizes and allocates everything a graph holds; what is counted is what is allocated.
///
/// A value's array is kept for the backward pass if an operation's counterpart reads it; otherwise
/// it is given back after the dispatch that last used it, and later values and gradients of the
/// same size take it.
final class Layout {
  private final Scratch scratch = new Scratch();
  private final Map<Integer, Deque<float[]>> free = new HashMap<>();

  Scratch own() {
    return scratch;
  }

  long bytes() {
    return scratch.bytes();
  }

  void allocate(List<Dispatch> forwards, List<Dispatch> backwards, boolean gradients) {
    allocateValues(forwards, gradients);
    if (gradients) {
      allocateGradients(backwards);
    }
  }

  private void allocateValues(List<Dispatch> forwards, boolean gradients) {
    Map<Value, Integer> lastUse = new HashMap<>();
    for (int d = 0; d < forwards.size(); d++) {
      for (Operation operation : forwards.get(d).operations()) {
        boolean differentiated = gradients && operation.output().needsGradient;
        lastUse.merge(
            operation.output(),
            differentiated && operation.keepsOutput() ? Integer.MAX_VALUE : d,
            Math::max);
        for (int i = 0; i < operation.inputs().size(); i++) {
          boolean kept = differentiated && operation.keepsInput(i);
          lastUse.merge(operation.inputs().get(i), kept ? Integer.MAX_VALUE : d, Math::max);
        }
      }
    }
    for (int d = 0; d < forwards.size(); d++) {
      List<Value> ending = new ArrayList<>();
      for (Operation operation : forwards.get(d).operations()) {
        List<Value> touched = new ArrayList<>(operation.inputs());
        touched.add(operation.output());
        for (Value value : touched) {
          if (value.data.length == 0) {
            value.data = value.pinned ? scratch.floats(value.size()) : take(value.size());
          }
          if (lastUse.getOrDefault(value, d) == d && !value.pinned && !ending.contains(value)) {
            ending.add(value);
          }
        }
      }
      ending.forEach(value -> give(value.data));
    }
  }

  private void allocateGradients(List<Dispatch> backwards) {
    Map<Value, Integer> lastUse = new HashMap<>();
    for (int d = 0; d < backwards.size(); d++) {
      for (Operation operation : backwards.get(d).operations()) {
        lastUse.merge(owner(operation.output()), d, Math::max);
        for (Value input : operation.inputs()) {
          if (input.needsGradient) {
            lastUse.merge(owner(input), d, Math::max);
          }
        }
      }
    }
    for (int d = 0; d < backwards.size(); d++) {
      List<Value> ending = new ArrayList<>();
      for (Operation operation : backwards.get(d).operations()) {
        List<Value> touched = new ArrayList<>();
        touched.add(operation.output());
        operation.inputs().stream().filter(Value::needsGradient).forEach(touched::add);
        for (Value value : touched) {
          Value owner = owner(value);
          if (owner.gradient.length == 0) {
            owner.gradient = gradientArray(owner);
          }
          value.gradient = owner.gradient;
          boolean pooled = !owner.pinned && !owner.gradientInPlace;
          if (lastUse.getOrDefault(owner, d) == d && pooled && !ending.contains(owner)) {
            ending.add(owner);
          }
        }
      }
      ending.forEach(value -> give(value.gradient));
    }
  }

  private float[] gradientArray(Value value) {
    if (value.gradientInPlace) {
      return value.data;
    }
    return value.pinned ? scratch.floats(value.size()) : take(value.size());
  }

  private static Value owner(Value value) {
    Value owner = value;
    while (owner.gradientOf != null) {
      owner = owner.gradientOf;
    }
    return owner;
  }

  private float[] take(int size) {
    Deque<float[]> same = free.get(size);
    return same == null || same.isEmpty() ? scratch.floats(size) : same.pop();
  }

  private void give(float[] array) {
    free.computeIfAbsent(array.length, _ -> new ArrayDeque<>()).push(array);
  }
}
