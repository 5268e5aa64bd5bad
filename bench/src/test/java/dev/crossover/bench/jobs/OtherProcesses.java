// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.List;

/// Points as a cluster computes them: from a copy of the job that went over the wire, the last
/// first.
///
/// @param threads of a point
public record OtherProcesses(int threads) implements Jobs {

  @Override
  public void run(PointJob job, List<String> points, Sink sink) throws IOException {
    for (int i = points.size() - 1; i >= 0; i--) {
      sink.accept(i, sent(job).compute(points.get(i)));
    }
  }

  private static PointJob sent(PointJob job) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(job);
    }
    try (ObjectInputStream in =
        new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
      return (PointJob) in.readObject();
    } catch (ClassNotFoundException e) {
      throw new IOException(e);
    }
  }
}
