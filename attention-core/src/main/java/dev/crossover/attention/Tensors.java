// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// An immutable set of named tensors: what a mechanism reads, or the extra results it writes.
///
/// Names are those of the golden files: `q`, `k`, `v`, and for example `log_decay`,
/// `random_projection`, `global_mask`, `initial_state`. The set is immutable, the tensors' elements
/// are not. Look-ups allocate nothing.
public final class Tensors {
  /// The empty set.
  public static final Tensors NONE = new Tensors(new String[0], new Tensor[0]);

  private final String[] names;
  private final Tensor[] tensors;

  private Tensors(String[] names, Tensor[] tensors) {
    this.names = names;
    this.tensors = tensors;
  }

  /// Queries, keys and values under their names `q`, `k`, `v`.
  ///
  /// @param query `[batch, heads, nq, d]`
  /// @param key `[batch, key_value_heads, nk, d]`
  /// @param value `[batch, key_value_heads, nk, dv]`
  public static Tensors qkv(Tensor query, Tensor key, Tensor value) {
    return new Tensors(new String[] {"q", "k", "v"}, new Tensor[] {query, key, value});
  }

  /// This set and one more tensor; an earlier one of the same name is replaced.
  ///
  /// @param name as [Attention#inputs] says
  /// @param tensor not copied
  /// @return a new set; this one stays as it is
  public Tensors with(String name, Tensor tensor) {
    int at = indexOf(name);
    int size = at < 0 ? names.length + 1 : names.length;
    String[] newNames = Arrays.copyOf(names, size);
    Tensor[] newTensors = Arrays.copyOf(tensors, size);
    newNames[at < 0 ? size - 1 : at] = name;
    newTensors[at < 0 ? size - 1 : at] = tensor;
    return new Tensors(newNames, newTensors);
  }

  /// Whether a tensor of this name is present.
  public boolean has(String name) {
    return indexOf(name) >= 0;
  }

  /// The tensor of this name.
  ///
  /// @throws IllegalArgumentException if absent, with the names that are present
  public Tensor get(String name) {
    int at = indexOf(name);
    if (at < 0) {
      throw new IllegalArgumentException("inputs must contain " + name + ", but were " + names());
    }
    return tensors[at];
  }

  /// Number of tensors.
  public int size() {
    return names.length;
  }

  /// Name of the tensor at a position, in the order they were added.
  ///
  /// @param position from 0 to below [#size]
  public String name(int position) {
    return names[position];
  }

  /// Tensor at a position, in the order they were added.
  ///
  /// @param position from 0 to below [#size]
  public Tensor tensor(int position) {
    return tensors[position];
  }

  /// The names, in the order they were added.
  public List<String> names() {
    return List.of(names);
  }

  /// All tensors by name, in the order they were added; a copy.
  public Map<String, Tensor> toMap() {
    Map<String, Tensor> map = new LinkedHashMap<>();
    for (int i = 0; i < names.length; i++) {
      map.put(names[i], tensors[i]);
    }
    return map;
  }

  @Override
  public String toString() {
    return toMap().toString();
  }

  private int indexOf(String name) {
    for (int i = 0; i < names.length; i++) {
      if (names[i].equals(name)) {
        return i;
      }
    }
    return -1;
  }
}
