// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;

/// One forward pass over the whole sequence.
record ForwardStudy() implements StudyView {
  @Override
  public Study study() {
    return Study.FORWARD;
  }

  @Override
  public String title() {
    return "Forward pass";
  }

  @Override
  public String unit() {
    return "call";
  }

  @Override
  public String timeTitle() {
    return "Time against sequence length";
  }
}
