// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

/// Ends this JVM when the launcher that started it is killed without a chance to say so.
final class LauncherWatch {
  /// Set by the launcher.
  private static final String PROPERTY = "crossover.launched";

  private static final int KILLED = 137;

  private LauncherWatch() {}

  /// Starts watching if a launcher started this JVM.
  static void start() {
    if (Boolean.getBoolean(PROPERTY)) {
      ProcessHandle.current().parent().ifPresent(LauncherWatch::watch);
    }
  }

  private static void watch(ProcessHandle launcher) {
    launcher
        .onExit()
        .thenRun(
            () -> {
              ProcessHandle.current().children().forEach(ProcessHandle::destroyForcibly);
              Runtime.getRuntime().halt(KILLED);
            });
  }
}
