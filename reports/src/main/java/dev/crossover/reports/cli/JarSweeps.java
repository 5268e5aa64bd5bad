// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Runs sweeps of other builds as processes of this JDK; their progress goes where ours does.
final class JarSweeps implements Interleaved.Sweeps {
  private static final int INTERRUPTED = 130;

  private final PrintWriter err;

  JarSweeps(PrintWriter err) {
    this.err = err;
  }

  @Override
  public int run(Path jar, List<String> arguments) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-jar", jar.toString(), "sweep"));
    command.addAll(arguments);
    err.flush();
    Process process =
        new ProcessBuilder(command)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .redirectInput(ProcessBuilder.Redirect.INHERIT)
            .start();
    Thread end = new Thread(process::destroy);
    Runtime.getRuntime().addShutdownHook(end);
    try {
      int code = process.waitFor();
      Runtime.getRuntime().removeShutdownHook(end);
      return code;
    } catch (InterruptedException e) {
      process.destroy();
      Thread.currentThread().interrupt();
      return INTERRUPTED;
    } catch (IllegalStateException e) {
      // this JVM is already ending, and takes the sweep with it
      return INTERRUPTED;
    }
  }
}
