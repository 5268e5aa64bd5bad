// SPDX-License-Identifier: Apache-2.0
/// The command line; `crossover help` lists the commands.
///
/// Commands read options, call what measures or draws, and turn faults into one line and an exit
/// code: 0 done, 1 failed, 2 asked for something that does not exist, 3 nothing could be answered.
/// Nothing is measured or drawn here.
@NullMarked
package dev.crossover.reports.cli;

import org.jspecify.annotations.NullMarked;
