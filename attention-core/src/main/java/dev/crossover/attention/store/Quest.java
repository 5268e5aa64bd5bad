// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;

/// Drops nothing; each query reads the pages of consecutive positions whose keys could score
/// highest (Tang et al., Quest, ICML 2024, arXiv:2406.10774).
///
/// The bound of a page is Σ over channels of max(q · smallest key, q · largest key).
///
/// @param pageSize positions of a page
/// @param budget positions read
/// @param minimumPages fewest pages read, where all compete
/// @param lastPage whether the newest page competes
public record Quest(
    @Parameter(value = "positions of a page, >= 1", defaultValue = "16") int pageSize,
    @Parameter(value = "positions read, >= 1", defaultValue = "1024") int budget,
    @Parameter(value = "fewest pages read, where all compete, >= 1", defaultValue = "3")
        int minimumPages,
    @Parameter(value = "whether the newest page competes or is always read", defaultValue = "free")
        LastPage lastPage)
    implements CachePolicy {
  static final String NAME = "quest";

  /// The newest page.
  public enum LastPage {
    /// Competes like all others, as in the evaluation code.
    FREE,
    /// Is always read, as in the kernels.
    FORCED
  }

  /// Validates the sizes.
  public Quest {
    if (pageSize < 1) {
      throw new IllegalArgumentException("page_size must be >= 1, but was " + pageSize);
    }
    if (budget < 1) {
      throw new IllegalArgumentException("budget must be >= 1, but was " + budget);
    }
    if (minimumPages < 1) {
      throw new IllegalArgumentException("minimum_pages must be >= 1, but was " + minimumPages);
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  /// Bounds on dot products are no bounds on anything else.
  @Override
  public CacheWeights.Form supposes() {
    return CacheWeights.Form.DOT_PRODUCT;
  }

  /// Everything stays.
  @Override
  public int budget(int prompt) {
    return Integer.MAX_VALUE;
  }

  @Override
  public void score(CacheView view, int head, double[] scores) {
    Arrays.fill(scores, 0, view.cached(), Double.POSITIVE_INFINITY);
  }

  @Override
  public Paging paging() {
    return new Paging(pageSize, budget, minimumPages, lastPage == LastPage.FORCED);
  }
}
