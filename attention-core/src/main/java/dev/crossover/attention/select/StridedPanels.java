// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyPanels;

/// The keys of one head packed by residue class: class c of stride s holds the positions c, c + s,
/// c + 2s, …, so that a dilated window, or a column of a strided pattern, becomes a contiguous run.
///
/// A stride of 1 is the natural order. The key at position `c + p·s` is found at panel position
/// `start(c) + p`; its value, left where it is, at `valueOffset(c, …) + (start(c) + p) ·
/// valueStride`.
public final class StridedPanels {
  private final KeyPanels panels;
  private final int seqLen;
  private final int stride;
  private final int pitch;
  private final int dim;

  /// @param scratch allocator
  /// @param seqLen number of keys n
  /// @param stride distance of neighbours in a class, at least 1; one above n means n
  /// @param dim width of a key row
  public StridedPanels(Scratch scratch, int seqLen, int stride, int dim) {
    this.seqLen = seqLen;
    this.stride = classes(seqLen, stride);
    this.pitch = pitch(seqLen, stride);
    this.dim = dim;
    this.panels = new KeyPanels(scratch, pitch * this.stride, dim);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int seqLen, int stride, int dim) {
    return KeyPanels.bytes(pitch(seqLen, stride) * classes(seqLen, stride), dim);
  }

  /// Number of classes: the stride, or n where that is smaller.
  public static int classes(int seqLen, int stride) {
    return Math.max(1, Math.min(stride, seqLen));
  }

  /// Panel positions from one class to the next: whole panels, unless a class is shorter than a
  /// panel.
  public static int pitch(int seqLen, int stride) {
    int longest = Math.ceilDiv(seqLen, classes(seqLen, stride));
    int panel = KeyPanels.alignment();
    return longest < panel ? longest : Math.ceilDiv(longest, panel) * panel;
  }

  /// Number of keys of class c of a stride, out of n.
  public static int size(int seqLen, int c, int stride) {
    return Math.ceilDiv(seqLen - c, stride);
  }

  /// Number of keys of class c of a stride among the first `limit` positions.
  public static int sizeWithin(int c, int stride, int limit) {
    return limit <= c ? 0 : Math.ceilDiv(limit - c, stride);
  }

  /// Number of keys of the classes before c: where class c starts if they follow each other without
  /// gaps.
  public static int position(int seqLen, int c, int stride) {
    return c * (seqLen / stride) + Math.min(c, seqLen % stride);
  }

  /// Packs all keys of a head.
  ///
  /// @param key source, row j starts at `offset + j * dim`
  public void pack(float[] key, int offset) {
    for (int c = 0; c < stride; c++) {
      panels.pack(key, offset + c * dim, stride * dim, size(c), start(c));
    }
  }

  /// The packed keys.
  public KeyPanels panels() {
    return panels;
  }

  /// Distance of neighbours in a class.
  public int stride() {
    return stride;
  }

  /// Panel position of the first key of a class.
  public int start(int c) {
    return c * pitch;
  }

  /// Number of keys of a class.
  public int size(int c) {
    return size(seqLen, c, stride);
  }

  /// Number of keys of a class among the first `limit` positions.
  public int sizeWithin(int c, int limit) {
    return sizeWithin(c, stride, limit);
  }

  /// Offset of a class's values, for panel positions: may be negative, the sums never are.
  ///
  /// @param offset first element of the head's values
  /// @param valueDim width of a value row
  public int valueOffset(int c, int offset, int valueDim) {
    return offset + (c - start(c) * stride) * valueDim;
  }
}
