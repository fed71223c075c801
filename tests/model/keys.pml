/* cyto -- keys.pml: a key moves with its cells from O to N while senders A and B
 * speak of it, and each turn is one step (turn.pml shows that).
 *
 * A says 1..M of the key, each in a turn that also tells B; B, which is handed
 * that, repeats it.  Both send to O, or, once they go by the move, to N.  Cell: how
 * much of each was handled; it is at O or at N, or on its way.  The lanes are
 * FIFO; who has several takes the least stamp in sight (causal.pml).
 *
 *   sender   takes note of the move between turns only, and says so first
 *            (followed); what it was handed it handles only if it has nothing
 *            to take note of.
 *   O        having taken note: sends the cell; sends on what still comes; answers.
 *   N        before it handles what was sent by the move: asks O with a stamp above
 *            all that stands in its lanes, and takes nothing but O's until the answer.
 *            The last question is one before which all had followed.
 * N is killed K times: what it knew but its lanes and the cell is gone.
 *
 * Each message is handled once, in its sender's order, a repetition after what it
 * repeats, by who has the cell; in the end all are handled.
 *
 * Run:  spin -a keys.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
 * Bounds: -DM=2 -DK=1 (messages of each sender, kills)
 * Holes:
 *   -DNOASK     N asks nobody
 *   -DONEASK    the first question is taken for the last
 *   -DNOSEE     the question's stamp is not above what stands in the lanes
 *   -DNOLOOK    nobody looks for a move between a message in sight and handling it
 */
#ifndef M
#define M 2
#endif
#ifndef K
#define K 1
#endif
#ifdef NOSEE
#define SEE(i) skip
#else
#define SEE(i) max(clock, commit[i])
#endif
#define L 6
#define NONE 255

mtype = { word, cell, question, answer };

/* stamp, who (0 A, 1 B), which */
chan ao = [L] of { byte, byte, byte };  chan an = [L] of { byte, byte, byte };
chan bo = [L] of { byte, byte, byte };  chan bn = [L] of { byte, byte, byte };
chan ab = [L] of { byte, byte };                    /* A tells B: stamp, which */
chan on = [L] of { mtype, byte, byte, byte };       /* stamp, two words */
chan no = [L] of { byte };                          /* questions: stamp */

byte moves, followed[2], commit[2];
byte sent_n[2], taken_n[2];           /* positions in the lanes to N */
byte done[2];                         /* the cell, wherever it is */
bit  at_o = 1, at_n;
byte handled;

inline handle(here, who, which) {
  assert(here);
  assert(which == done[who] + 1);
  assert(who == 0 || which <= done[0]);
  done[who] = which; handled++
}
inline max(to, with) { if :: with > to -> to = with :: else fi }

inline send(who, which, view) {
  if
  :: view == 0 && who == 0 -> ao!commit[0],0,which
  :: view == 0 && who == 1 -> bo!commit[1],1,which
  :: view == 1 && who == 0 -> an!commit[0],0,which; sent_n[0]++
  :: view == 1 && who == 1 -> bn!commit[1],1,which; sent_n[1]++
  fi
}

active proctype A() {
  byte i = 1, view;
  do
  :: i <= M ->
     atomic { view = moves; followed[0] = view }
     atomic { commit[0]++; send(0, i, view); ab!commit[0],i; i++ }
  :: else -> break
  od;
end_a: moves == 1; followed[0] = 1
}

active proctype B() {
  byte s, which, view, left = M;
  do
  :: left > 0 ->
again:
     atomic { view = moves; followed[1] = view }
end_b:
     if
     :: nempty(ab) ->                        /* in sight; a move told before it is seen */
#ifndef NOLOOK
        if :: moves != view -> goto again :: else fi;
#endif
        atomic { ab?s,which; max(commit[1], s); commit[1]++; send(1, which, view); left-- }
     :: moves != view -> goto again
     fi
  :: else -> break
  od;
end_b2: moves == 1; followed[1] = 1
}

active proctype Mover() { moves = 1 }

/* the least front of those given; who is the lane: 0, 1, and 2 the other member's */
inline least(x, y) {
  who = NONE; s = NONE;
  if :: nempty(x) -> x?<t,_,_>; who = 0; s = t :: empty(x) fi;
  if :: nempty(y) -> y?<t,_,_>; if :: t < s -> who = 1; s = t :: else fi :: empty(y) fi
}

active proctype O() {
  byte view, clock, s, t, who, which; bit given;
loop:
  atomic { view = moves }
  if
  :: view == 1 && !given ->
     atomic { clock++; at_o = 0; on!cell,clock,0,0; given = 1 }
  :: else
  fi;
end_o:
  (nempty(ao) || nempty(bo) || nempty(no) || moves != view);
  atomic {
    least(ao, bo);
    if :: nempty(no) -> no?<t>; if :: t < s -> who = 2; s = t :: else fi :: empty(no) fi
  }
#ifndef NOLOOK
  if :: moves != view -> goto loop :: else fi;
#endif
  atomic {
    if
    :: who == 0 -> ao?s,_,which
    :: who == 1 -> bo?s,_,which
    :: who == 2 -> no?s
    :: who == NONE -> goto loop
    fi;
    max(clock, s); clock++;
    if
    :: who == 2 ->
       on!answer,clock,s,0
    :: who < 2 && given -> on!word,clock,who,which
    :: who < 2 && !given -> handle(at_o, who, which)
    fi
  }
  goto loop
}

active proctype N() {
  byte view, clock, asked, s, t, who, which, covered[2], kills; mtype what; bit last, gains = 1;
loop:
  atomic { view = moves }
end_n:
  if
  :: kills < K && gains ->                   /* a successor knows its clock */
     atomic { kills++; asked = 0; gains = 1; covered[0] = 0; covered[1] = 0 }
     goto loop
  :: nempty(on) && (asked != 0 || (empty(an) && empty(bn))) -> who = 2
  :: asked == 0 && (nempty(an) || nempty(bn)) ->
     atomic {
       least(an, bn);
       if :: nempty(on) -> on?<what,t,_,_>; if :: t < s -> who = 2 :: else fi :: empty(on) fi
     }
  :: moves != view -> goto loop
  fi;
#ifndef NOLOOK
  if :: moves != view -> goto loop :: else fi;
#endif
#ifndef NOASK
  if
  :: who < 2 && gains && taken_n[who] >= covered[who] && followed[who] == 1 ->
     last = (followed[0] == 1 && followed[1] == 1);
#ifdef ONEASK
     last = 1;
#endif
     atomic { covered[0] = sent_n[0]; SEE(0) }
     atomic { covered[1] = sent_n[1]; SEE(1) }
     atomic { clock++; no!clock; asked = clock }
     goto loop
  :: else
  fi;
#endif
  atomic {
    if
    :: who == 0 -> an?s,_,which; taken_n[0]++
    :: who == 1 -> bn?s,_,which; taken_n[1]++
    :: who == 2 -> on?what,s,t,which
    fi;
    max(clock, s); clock++;
    if
    :: who < 2 -> handle(at_n, who, which)
    :: who == 2 && what == cell -> at_n = 1
    :: who == 2 && what == word -> handle(at_n, t, which)
    :: who == 2 && what == answer ->
       if :: t == asked && asked != 0 -> asked = 0; if :: last -> gains = 0 :: else fi :: else fi
    fi
  }
  goto loop
}

active proctype Mon() { end_m: atomic { timeout -> assert(handled == 2*M) } }
