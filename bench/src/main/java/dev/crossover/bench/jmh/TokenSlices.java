// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Cuts token ranges out of a mechanism's inputs, whatever they are.
///
/// The sequence dimension of an input is the one whose size changes with the sequence length, by
/// one or more rows per token; inputs without such a dimension are the same for every token.
final class TokenSlices {
  private final Tensors whole;
  private final Map<String, Integer> sequenceDimension = new LinkedHashMap<>();
  private final Map<String, Integer> rowsPerToken = new LinkedHashMap<>();

  TokenSlices(Attention attention, AttentionShape shape, Tensors whole) {
    this.whole = whole;
    int n = shape.keySeqLen();
    List<TensorSpec> here = attention.inputs(shape);
    List<TensorSpec> longer = attention.inputs(shape.withSeqLens(n + 1, n + 1));
    for (int i = 0; i < here.size(); i++) {
      int[] a = here.get(i).shape().toArray();
      int[] b = longer.get(i).shape().toArray();
      for (int dimension = 0; dimension < a.length; dimension++) {
        int rows = b[dimension] - a[dimension];
        if (rows > 0 && a[dimension] == rows * n) {
          sequenceDimension.put(here.get(i).name(), dimension);
          rowsPerToken.put(here.get(i).name(), rows);
          break;
        }
      }
    }
  }

  /// Inputs of the tokens from `from` inclusive to `to` exclusive, copied.
  Tensors range(int from, int to) {
    Tensors cut = Tensors.NONE;
    for (int t = 0; t < whole.size(); t++) {
      Tensor tensor = whole.tensor(t);
      Integer dimension = sequenceDimension.get(whole.name(t));
      int rows = rowsPerToken.getOrDefault(whole.name(t), 1);
      cut =
          cut.with(
              whole.name(t),
              dimension == null ? tensor : cut(tensor, dimension, from * rows, to * rows));
    }
    return cut;
  }

  private static Tensor cut(Tensor tensor, int dimension, int from, int to) {
    int[] shape = tensor.shape();
    int inner = 1;
    for (int d = dimension + 1; d < shape.length; d++) {
      inner *= shape[d];
    }
    int outer = 1;
    for (int d = 0; d < dimension; d++) {
      outer *= shape[d];
    }
    int n = shape[dimension];
    shape[dimension] = to - from;
    Tensor part = Tensor.zeros(shape);
    int length = (to - from) * inner;
    for (int o = 0; o < outer; o++) {
      System.arraycopy(tensor.data(), (o * n + from) * inner, part.data(), o * length, length);
    }
    return part;
  }
}
