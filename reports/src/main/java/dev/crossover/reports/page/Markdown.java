// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import java.util.Locale;

/// Text inside Markdown.
final class Markdown {
  private Markdown() {}

  /// One line of text that Markdown and the HTML inside it leave alone.
  static String escape(String text) {
    return text.replaceAll("\\p{Cntrl}", " ")
        .replaceAll("([\\\\`*_\\[\\]|#~$])", "\\\\$1")
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;");
  }

  /// Lower-case letters, digits and hyphens, for a file's name.
  static String slug(String text) {
    return text.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceAll("^-+|-+$", "");
  }

  /// One line of code.
  static String code(String text) {
    return "`" + text.replaceAll("\\p{Cntrl}", " ").replace('`', '\'') + "`";
  }
}
