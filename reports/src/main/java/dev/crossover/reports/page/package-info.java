// SPDX-License-Identifier: Apache-2.0
/// The report: one self-contained HTML page, its Markdown twin, figures and CSV files.
///
/// Nothing is computed here that is not in `dev.crossover.reports.answer`, and nothing from a
/// result file reaches a page, a Markdown table or a CSV cell without being escaped for it.
@NullMarked
package dev.crossover.reports.page;

import org.jspecify.annotations.NullMarked;
