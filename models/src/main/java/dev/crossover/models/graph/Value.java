// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// Activations between two operations, `[rows, width]`, and their gradient.
///
/// With heads, the storage is `[batch, heads, n, dim]`, as mechanisms take it; `heads = 0` means
/// row-major `[rows, width]`. Arrays exist once the graph is finished.
public final class Value {
  private static final float[] ABSENT = new float[0];

  private final String name;
  private final Rows rows;
  private final int heads;
  private final int width;
  final boolean needsGradient;
  float[] data = ABSENT;
  float[] gradient = ABSENT;
  boolean pinned;
  boolean gradientInPlace;
  @Nullable Value gradientOf;
  @Nullable Operation producer;
  int consumers;

  Value(String name, Rows rows, int heads, int width, boolean needsGradient) {
    this.name = name;
    this.rows = rows;
    this.heads = heads;
    this.width = width;
    this.needsGradient = needsGradient;
  }

  /// Where it comes from, for messages.
  public String name() {
    return name;
  }

  /// Its rows.
  public Rows rows() {
    return rows;
  }

  /// Elements of a row, over all heads.
  public int width() {
    return width;
  }

  /// Number of heads; 0 for row-major storage.
  public int heads() {
    return heads;
  }

  /// Elements of a row of one head.
  public int dim() {
    return heads == 0 ? width : width / heads;
  }

  /// Number of elements.
  public int size() {
    return Math.multiplyExact(rows.capacity(), width);
  }

  /// Whether a gradient flows through it.
  public boolean needsGradient() {
    return needsGradient;
  }

  /// First element of a row of a head.
  public int at(int row, int head) {
    int n = rows.length();
    return ((row / n * heads + head) * n + row % n) * (width / heads);
  }

  /// The elements.
  public float[] data() {
    return data;
  }

  /// The gradient of the loss with respect to the elements.
  public float[] gradient() {
    return gradient;
  }

  /// The elements as `[batch, heads, n, dim]`, or `[batch, heads, n]` where `dim` is 1 and flat.
  ///
  /// @param flat whether the last dimension is left out
  public Tensor tensor(boolean flat) {
    return shaped(data, flat);
  }

  /// The gradient, shaped like [#tensor].
  public Tensor gradientTensor(boolean flat) {
    return shaped(gradient, flat);
  }

  private Tensor shaped(float[] array, boolean flat) {
    return flat
        ? Tensor.of(array, rows.sequences(), heads, rows.length())
        : Tensor.of(array, rows.sequences(), heads, rows.length(), dim());
  }

  /// Keeps the arrays for the caller: nothing else is stored in them, before or after.
  public Value pin() {
    pinned = true;
    return this;
  }

  /// Lets the gradient take the place of the elements, which the backward pass then destroys.
  public Value overwriteWithGradient() {
    gradientInPlace = true;
    return this;
  }

  @Override
  public String toString() {
    return name + " [" + rows.capacity() + ", " + width + "]";
  }
}
