// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

/// The user asked for something that does not exist or cannot be read; the message is one line.
final class UsageException extends Exception {
  private static final long serialVersionUID = 1L;

  UsageException(Exception cause) {
    super(cause.getMessage(), cause);
  }

  UsageException(String message) {
    super(message);
  }
}
