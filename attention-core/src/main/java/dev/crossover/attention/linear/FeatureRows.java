// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

/// Consecutive rows of one head that a feature map is to transform; reused, never kept by the map.
public final class FeatureRows {
  private int worker;
  private int batch;
  private int head;
  private int position;
  private int index;
  private int count;
  private int dim;
  private float[] data = new float[0];
  private int offset;
  private double[] references = new double[0];
  private int firstReference;

  FeatureRows() {}

  /// Worker that runs, from 0; names the scratch to use.
  public int worker() {
    return worker;
  }

  /// Batch entry.
  public int batch() {
    return batch;
  }

  /// Head: a query head for queries, a key/value head for keys.
  public int head() {
    return head;
  }

  /// Position of the first row in its sequence, from 0.
  public int position() {
    return position;
  }

  /// Index of the first row in the tensors at hand: equals [#position()] but in decoding sessions.
  public int index() {
    return index;
  }

  /// Number of rows.
  public int count() {
    return count;
  }

  /// Array that holds the rows, `dim` floats each, one after the other.
  public float[] data() {
    return data;
  }

  /// First element of row `r` in [#data()].
  public int at(int r) {
    return offset + r * dim;
  }

  /// Logarithm of the scale of all key features before row `r`: see [FeatureMap#scaling].
  public double referenceBefore(int r) {
    return references[firstReference + r];
  }

  /// Sets the logarithm of the scale of key features from row `r` on: rows must be set in order.
  public void reference(int r, double value) {
    references[firstReference + r + 1] = value;
  }

  FeatureRows of(
      int newWorker, int newBatch, int newHead, int newPosition, int newIndex, int newCount) {
    worker = newWorker;
    batch = newBatch;
    head = newHead;
    position = newPosition;
    index = newIndex;
    count = newCount;
    return this;
  }

  FeatureRows from(float[] newData, int newOffset, int newDim) {
    data = newData;
    offset = newOffset;
    dim = newDim;
    return this;
  }

  FeatureRows scaledBy(double[] newReferences, int newFirst) {
    references = newReferences;
    firstReference = newFirst;
    return this;
  }
}
