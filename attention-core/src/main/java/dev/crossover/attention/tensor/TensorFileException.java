// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.io.IOException;
import java.nio.file.Path;

/// A tensor file that is absent, unreadable, malformed, or does not hold what was asked of it.
///
/// The message is one line, `file: fault`, fit to be shown to a user as it is: control characters
/// that a hostile file put into its names are replaced, long names are cut.
public final class TensorFileException extends IOException {
  private static final long serialVersionUID = 1L;
  private static final int LONGEST_NAME = 60;

  /// A fault of one file.
  ///
  /// @param path the file
  /// @param fault what is wrong with it, without the file's name
  public TensorFileException(Path path, String fault) {
    super(oneLine(path + ": " + fault));
  }

  /// A fault of one file that another exception brought to light.
  ///
  /// @param path the file
  /// @param fault what is wrong with it, without the file's name
  /// @param cause what was thrown
  public TensorFileException(Path path, String fault, Throwable cause) {
    super(oneLine(path + ": " + fault), cause);
  }

  /// A name taken from a file, in quotes and cut to a length that fits a line.
  static String quote(String name) {
    return "'"
        + (name.length() <= LONGEST_NAME ? name : name.substring(0, LONGEST_NAME) + "…")
        + "'";
  }

  private static String oneLine(String text) {
    StringBuilder line = new StringBuilder(text.length());
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      boolean breaksLine = Character.isISOControl(c) || c == '\u2028' || c == '\u2029';
      line.append(breaksLine || Character.isSurrogate(c) ? '?' : c);
    }
    return line.toString();
  }
}
