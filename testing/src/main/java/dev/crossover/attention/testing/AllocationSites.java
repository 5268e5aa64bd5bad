// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Collectors;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordedFrame;
import jdk.jfr.consumer.RecordingFile;

/// What allocates, and where, as the flight recorder samples it: a failed check of allocation says
/// so, because compiled code that boxes a vector depends on what ran before and seldom comes back.
final class AllocationSites {
  private static final String EVENT = "jdk.ObjectAllocationSample";
  private static final int FRAMES = 8;
  private static final int SITES = 3;

  private AllocationSites() {}

  /// Runs calls under the recorder.
  ///
  /// @return the commonest sites, such as `float[] at VectorKernels.dot:403 < …`; empty if no
  ///     sample was taken
  static List<String> of(Runnable call, int calls) {
    try (Recording recording = new Recording()) {
      recording.enable(EVENT).withStackTrace().with("throttle", "1000/s");
      recording.start();
      for (int c = 0; c < calls; c++) {
        call.run();
      }
      recording.stop();
      Path file = Files.createTempFile("crossover-allocation", ".jfr");
      try {
        recording.dump(file);
        return commonest(RecordingFile.readAllEvents(file));
      } finally {
        Files.delete(file);
      }
    } catch (IOException e) {
      return List.of("no recording: " + e.getMessage());
    }
  }

  private static List<String> commonest(List<RecordedEvent> events) {
    long self = Thread.currentThread().threadId();
    TreeMap<String, Integer> counts = new TreeMap<>();
    for (RecordedEvent event : events) {
      if (event.getThread() != null && event.getThread().getJavaThreadId() == self) {
        counts.merge(site(event), 1, Integer::sum);
      }
    }
    return counts.entrySet().stream()
        .sorted(Comparator.comparing(entry -> -entry.getValue()))
        .limit(SITES)
        .map(entry -> entry.getValue() + " samples of " + entry.getKey())
        .toList();
  }

  private static String site(RecordedEvent event) {
    String type = event.getClass("objectClass").getName();
    if (event.getStackTrace() == null) {
      return type;
    }
    return event.getStackTrace().getFrames().stream()
        .limit(FRAMES)
        .map(AllocationSites::frame)
        .collect(Collectors.joining(" < ", type + " at ", ""));
  }

  private static String frame(RecordedFrame frame) {
    String type = frame.getMethod().getType().getName();
    return type.substring(type.lastIndexOf('.') + 1)
        + "."
        + frame.getMethod().getName()
        + ":"
        + frame.getLineNumber();
  }
}
