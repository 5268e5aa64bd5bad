// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

/// The smallest and largest key of every page of consecutive positions, per head and channel: what
/// Quest bounds a page's scores with.
final class Pages {
  private final int pageSize;
  private final int dim;
  private final int perHead;
  private final float[] low;
  private final float[] high;

  /// @param heads (batch entry, key/value head) pairs
  /// @param capacity largest number of positions
  /// @param pageSize positions of a page
  /// @param dim width of a key row
  Pages(int heads, int capacity, int pageSize, int dim) {
    this.pageSize = pageSize;
    this.dim = dim;
    perHead = Math.ceilDiv(capacity, pageSize);
    low = new float[heads * perHead * dim];
    high = new float[low.length];
  }

  /// Number of pages of the longest cache.
  int most() {
    return perHead;
  }

  /// Takes the key at a place, one after the last.
  void add(int head, int place, float[] key, int at) {
    int page = (head * perHead + place / pageSize) * dim;
    if (place % pageSize == 0) {
      System.arraycopy(key, at, low, page, dim);
      System.arraycopy(key, at, high, page, dim);
      return;
    }
    for (int c = 0; c < dim; c++) {
      low[page + c] = Math.min(low[page + c], key[at + c]);
      high[page + c] = Math.max(high[page + c], key[at + c]);
    }
  }

  /// Lists the places that a query reads, ascending.
  ///
  /// @param bounds scratch of [#most] numbers
  /// @param sorted scratch of [#most] numbers
  /// @param places receives the places
  /// @return how many there are
  int select(
      int head,
      int cached,
      CachePolicy.Paging paging,
      float[] q,
      int qo,
      double[] bounds,
      double[] sorted,
      int[] places) {
    int count = Math.ceilDiv(cached, pageSize);
    for (int page = 0; page < count; page++) {
      bounds[page] = bound((head * perHead + page) * dim, q, qo);
    }
    if (paging.lastForced()) {
      bounds[count - 1] = Double.POSITIVE_INFINITY;
    }
    int wanted = paging.pages(cached);
    Selection.markLargest(bounds, count, wanted, sorted);
    int size = 0;
    for (int page = 0; page < count; page++) {
      if (bounds[page] == Selection.STAYS) {
        int end = Math.min(cached, (page + 1) * pageSize);
        for (int place = page * pageSize; place < end; place++) {
          places[size++] = place;
        }
      }
    }
    return size;
  }

  /// Σ over channels of max(q · smallest key, q · largest key).
  private double bound(int page, float[] q, int qo) {
    double bound = 0;
    for (int c = 0; c < dim; c++) {
      double x = q[qo + c];
      bound += Math.max(x * low[page + c], x * high[page + c]);
    }
    return bound;
  }
}
