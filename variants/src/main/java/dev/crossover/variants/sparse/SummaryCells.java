// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

/// The summary cells of fixed factorised attention (Child et al., arXiv:1904.10509, section 4.2):
/// the same `size` consecutive positions of every window of `stride`.
///
/// @param stride length l of a window
/// @param size number c of summary cells per window
/// @param slot which sub-block of the window, counted from its end
record SummaryCells(int stride, int size, int slot) {

  /// Position of the first cell within a window: `l − c·slot − c`.
  int firstInWindow() {
    return stride - size * slot - size;
  }

  /// Position of cell `t`, counted over all windows.
  int position(int t) {
    return t / size * stride + firstInWindow() + t % size;
  }

  /// Number of cells among the first `limit` positions.
  int within(int limit) {
    return limit / stride * size + Math.clamp(limit % stride - firstInWindow(), 0, size);
  }
}
