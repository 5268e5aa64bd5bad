// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.mixed;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// Copies of some heads of q, k, v and the output, or of their gradients.
final class HeadCopies {
  private final int[] heads;
  private final int allHeads;
  private final int batch;
  private final Tensor query;
  private final Tensor key;
  private final Tensor value;
  private final Tensor output;

  /// Allocates the copies.
  ///
  /// @param shape the problem of these heads alone
  /// @param heads their numbers among all
  /// @param allHeads number of all heads
  /// @param scratch counts them
  HeadCopies(AttentionShape shape, List<Integer> heads, int allHeads, Scratch scratch) {
    this.heads = heads.stream().mapToInt(Integer::intValue).toArray();
    this.allHeads = allHeads;
    this.batch = shape.batchSize();
    query = tensor(scratch, shape, shape.querySeqLen(), shape.headDim());
    key = tensor(scratch, shape, shape.keySeqLen(), shape.keyDim());
    value = tensor(scratch, shape, shape.keySeqLen(), shape.valueDim());
    output = tensor(scratch, shape, shape.querySeqLen(), shape.valueDim());
  }

  private static Tensor tensor(Scratch scratch, AttentionShape shape, int rows, int width) {
    long size = (long) shape.problems() * rows * width;
    return Tensor.of(scratch.floats(size), shape.batchSize(), shape.numHeads(), rows, width);
  }

  /// The copies of q, k and v.
  Tensors qkv() {
    return Tensors.qkv(query, key, value);
  }

  /// The copies of their gradients under the names of gradients.
  Tensors gradients() {
    return Tensors.NONE.with("grad_q", query).with("grad_k", key).with("grad_v", value);
  }

  Tensor query() {
    return query;
  }

  Tensor key() {
    return key;
  }

  Tensor value() {
    return value;
  }

  Tensor output() {
    return output;
  }

  /// Copies these heads out of all queries, keys and values.
  void gather(float[] queries, float[] keys, float[] values) {
    gather(queries, query);
    gather(keys, key);
    gather(values, value);
  }

  /// Copies these heads out of all.
  ///
  /// @param all `[batch, allHeads, rows, width]`
  /// @param part one of the copies
  void gather(float[] all, Tensor part) {
    int size = part.extent(2) * part.extent(3);
    for (int b = 0; b < batch; b++) {
      for (int h = 0; h < heads.length; h++) {
        System.arraycopy(
            all,
            (b * allHeads + heads[h]) * size,
            part.data(),
            (b * heads.length + h) * size,
            size);
      }
    }
  }

  /// Writes these heads where they belong.
  void scatter(Tensor part, float[] all) {
    int size = part.extent(2) * part.extent(3);
    for (int b = 0; b < batch; b++) {
      for (int h = 0; h < heads.length; h++) {
        System.arraycopy(
            part.data(),
            (b * heads.length + h) * size,
            all,
            (b * allHeads + heads[h]) * size,
            size);
      }
    }
  }

  /// Adds these heads where they belong.
  void add(Tensor part, float[] all) {
    int size = part.extent(2) * part.extent(3);
    float[] data = part.data();
    for (int b = 0; b < batch; b++) {
      for (int h = 0; h < heads.length; h++) {
        int from = (b * heads.length + h) * size;
        int to = (b * allHeads + heads[h]) * size;
        for (int x = 0; x < size; x++) {
          all[to + x] += data[from + x];
        }
      }
    }
  }
}
