// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import org.jspecify.annotations.Nullable;

/// Which cached positions a compressed cache keeps: a score for each, of which the largest stay.
///
/// Equal scores go to the lower position. Scores of +∞ always stay. After Devoto et al., kvpress
/// (NVIDIA): one interface in which a score per cached key decides.
public interface CachePolicy {
  /// Query weights of which rows a policy looks at.
  enum Weights {
    /// None.
    NONE,
    /// The newest query alone.
    NEWEST,
    /// The last queries of the prompt, [#window] of them.
    WINDOW,
    /// All queries since a key was cached, added up.
    ALL
  }

  /// Name on the command line and in golden files.
  String name();

  /// How many positions stay in each key/value head.
  ///
  /// @param prompt number of positions of the prompt
  int budget(int prompt);

  /// Whether the scores are those of a prompt only: compressing while decoding was not published,
  /// and without a prompt there is nothing to go by.
  default boolean needsPrompt() {
    return false;
  }

  /// What the policy supposes of the weights that a query gives: nothing, where it goes by those
  /// given, by positions or by keys.
  default CacheWeights.Form supposes() {
    return CacheWeights.Form.ANY;
  }

  /// Which weights [#score] looks at.
  default Weights weights() {
    return Weights.NONE;
  }

  /// Number of last prompt queries whose weights are added up, for [Weights#WINDOW].
  default int window() {
    return 0;
  }

  /// Scores every cached position of a head.
  ///
  /// @param view what is cached
  /// @param head (batch entry, key/value head) pair
  /// @param scores receives a score per cached position
  void score(CacheView view, int head, double[] scores);

  /// Pages that a query reads instead of the whole cache; null where it reads everything.
  default @Nullable Paging paging() {
    return null;
  }

  /// Reading some pages of a whole cache: nothing is dropped, each query head reads the pages whose
  /// bound on its scores is largest (Tang et al., Quest, ICML 2024, arXiv:2406.10774).
  ///
  /// @param pageSize consecutive positions of a page
  /// @param budget positions to read
  /// @param minimumPages fewest pages, where all pages compete
  /// @param lastForced whether the newest page is always read
  record Paging(int pageSize, int budget, int minimumPages, boolean lastForced) {

    /// Pages read of `cached` positions, the newest included where it is forced.
    int pages(int cached) {
      int all = Math.ceilDiv(cached, pageSize);
      int wanted =
          lastForced
              ? budget / pageSize
              : Math.max(minimumPages, Math.min(budget, cached) / pageSize);
      return Math.min(Math.max(1, wanted), all);
    }
  }
}
