// SPDX-License-Identifier: Apache-2.0
/// Static charts: one palette, one plot style, figures of a panel as PNG and PDF.
///
/// Every decision about looks lives here, in [Palette] and [LogPlot]; what is drawn comes from
/// `dev.crossover.reports.answer`. Works without a display and on machines without fonts.
@NullMarked
package dev.crossover.reports.chart;

import org.jspecify.annotations.NullMarked;
