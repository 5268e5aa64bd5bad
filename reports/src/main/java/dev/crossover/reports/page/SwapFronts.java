// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.reports.answer.Pareto;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;

/// Which settings none beats in work and output error, and which none beats in work and what the
/// model loses.
///
/// @param items the settings
/// @param name of a setting
/// @param work floating-point operations beside those of exact attention
/// @param error output error
/// @param loss what the model loses, smaller is better
record SwapFronts<T>(
    List<T> items,
    Function<T, String> name,
    ToDoubleFunction<T> work,
    ToDoubleFunction<T> error,
    ToDoubleFunction<T> loss) {

  /// Adds a sentence and the table of the settings of either front.
  ///
  /// @param answer what the loss is about, in the sentence
  /// @param column heading of the loss
  void write(MarkdownPage page, String answer, String column) {
    List<T> byError = Pareto.front(items, work, error);
    List<T> byLoss = Pareto.front(items, work, loss);
    long kept = byError.stream().filter(byLoss::contains).count();
    page.line(
        "Of the "
            + byError.size()
            + " settings that none beats in both work and output error, "
            + kept
            + " are also among the "
            + byLoss.size()
            + " that none beats in both work and "
            + answer
            + ".");
    page.line("");
    page.line(
        "| setting | work | error | " + column + " | front by error | front by " + answer + " |");
    page.line("|---|---:|---:|---:|---|---|");
    for (T item : items.stream().sorted(Comparator.comparingDouble(work)).toList()) {
      boolean one = byError.contains(item);
      boolean other = byLoss.contains(item);
      if (one || other) {
        page.line(
            String.format(
                Locale.ROOT,
                "| %s | %.2f | %.4f | %.4f | %s | %s |",
                Markdown.escape(name.apply(item)),
                work.applyAsDouble(item),
                error.applyAsDouble(item),
                loss.applyAsDouble(item),
                one ? "yes" : "no",
                other ? "yes" : "no"));
      }
    }
    page.line("");
  }
}
